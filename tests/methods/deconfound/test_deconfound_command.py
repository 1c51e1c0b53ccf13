import json
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
from observed_table import EFFECT, UPWORTHY, columns_of, observed_rows, write_table
from started import metrics_of
from typer.testing import CliRunner

import align
from align.checks.launch import Launch
from align.cli.app import app
from align.cli.application import words
from align.data.tables.reading import TableFile
from align.errors import UserError
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare
from align.services.train import run as train
from rewards.correction import ESTIMATORS, Correction

pytestmark = pytest.mark.slow

COLUMNS = ["--outcome", "clicks", "--confounders", "popularity", "hour"]
TEXT = ["--text", "headline", "--instrument", "shock", "--instrumented", "popularity", "--groups", "author"]
ALL = [*COLUMNS, *TEXT]


def deconfound(data, *options):
    result = CliRunner().invoke(app, ["deconfound", str(data), *map(str, options)], catch_exceptions=False)
    return result.exit_code, result.output


def keep(monkeypatch, memory):
    """Lets the command keep files of so many bytes; larger ones are read again."""
    monkeypatch.setattr("align.methods.deconfound.command.TableFile", partial(TableFile, in_memory=memory))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "t.csv", observed_rows(600))


@pytest.fixture(scope="module")
def corrected(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    pairs = out.parent / "pairs.jsonl"
    more = ["--prompt", "topic", "--pairs", pairs, "--margin", "0.5"]
    code, output = deconfound(table, *ALL, "--estimator", "iv", "--out", out, *more)
    assert code == 0, output
    return out, output, pairs


def test_it_is_called_from_python_too(table, tmp_path):
    names = {"outcome": "clicks", "confounders": ["popularity", "hour"]}
    found = align.deconfound(table, out=tmp_path / "out", **names, estimator="ols")
    effects = found.to_pandas().set_index("confounder")
    assert list(effects.index) == ["popularity", "hour"]
    assert (effects["low"] < effects["effect"]).all()
    assert found.correction.formula in str(found)
    assert "600  rows" in str(found)
    assert "<figcaption><b>Effect of popularity by estimator</b>" in found._repr_html_()
    applied = align.deconfound(table, out=tmp_path / "again", apply=tmp_path / "out" / "correction.json")
    assert applied.to_pandas()["effect"].tolist() == effects["effect"].tolist()
    assert "<table" in applied._repr_html_()
    with pytest.raises(UserError, match="`--outcome` is missing"):
        align.deconfound(table, out=tmp_path / "never")
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        align.deconfound(table, out=tmp_path / "never", **names, colour=1)


def test_the_folder_holds_what_is_promised_and_the_estimates_of_the_estimator(corrected):
    out, output, _ = corrected
    assert {file.name for file in out.iterdir()} == {
        "corrected.parquet", "correction.json", "diagnostics.json", "report.html", "README.md",
    }  # fmt: skip
    saved = json.loads((out / "correction.json").read_text())
    data = columns_of(observed_rows(600))
    direct = ESTIMATORS["iv"](instrumented=("popularity",)).fit(
        data["clicks"], {"popularity": data["popularity"], "hour": data["hour"]}, text=data["headline"],
        instruments={"shock": data["shock"]}, groups=data["author"],
    )  # fmt: skip
    np.testing.assert_allclose(saved["coefficients"], direct.coef_, rtol=0, atol=1e-8)
    assert saved["coefficients"][0] == pytest.approx(EFFECT, abs=0.1)
    assert saved["details"]["columns"]["text"] == "headline"
    frame = pd.read_parquet(out / "corrected.parquet")
    assert [*frame.columns] == [*data, "reward"]
    expected = direct.correct(data["clicks"], {"popularity": data["popularity"], "hour": data["hour"]})
    np.testing.assert_allclose(frame["reward"], expected, atol=1e-8)
    np.testing.assert_allclose(frame["popularity"], data["popularity"])
    assert "600  rows" in output


def test_the_page_says_what_was_done_and_asks_for_nothing_from_outside(corrected):
    page = (corrected[0] / "report.html").read_text()
    for title in ("What has to be true", "First stage", "Placebo", "Overlap", "Additivity", "In GRPO", "What each"):
        assert title in page
    assert "What would break it" in page
    opening = " ".join(re.sub("<[^>]+>", " ", page.partition("</h1>")[2].partition("<div")[0]).split())
    said = r"{} explained \S+ % of the outcome, now \S+ % of the reward; up to \S+ % is chance\."
    assert re.fullmatch(" ".join(map(said.format, ("popularity", "hour"))), opening)
    assert "same for all responses to a prompt cancels" in " ".join(page.split())
    assert not re.search(r"""src=|href="(?!#)|<script|https?://(?!www\.w3\.org)""", page)
    assert "svg" in page


def test_pairs_are_written_and_counted(corrected):
    _, output, file = corrected
    pairs = [json.loads(line) for line in file.read_text().splitlines()]
    assert f"{len(pairs)}  pairs of 12 prompts" in output
    assert {pair["prompt"] for pair in pairs} == {f"q{number}?" for number in range(12)}
    assert min(pair["reward_gap"] for pair in pairs) >= 0.5


def test_a_saved_correction_is_applied_out_of_sample_without_naming_columns_again(corrected, tmp_path):
    new = write_table(tmp_path / "new.jsonl", observed_rows(50, seed=7))
    code, output = deconfound(new, "--apply", corrected[0] / "correction.json", "--out", tmp_path / "out")
    assert code == 0, output
    saved = Correction.load(corrected[0] / "correction.json")
    frame = pd.read_parquet(tmp_path / "out" / "corrected.parquet")
    removed = (frame[["popularity", "hour"]] - saved.means) @ np.array(saved.coefficients)
    (curve,) = saved.curves  # of the hour; what an instrument moves is a line
    removed += curve.at(frame["hour"].to_numpy() - saved.means[1], saved.means[1])
    np.testing.assert_allclose(frame["reward"], frame["clicks"] - removed, atol=1e-9)
    assert json.loads((tmp_path / "out" / "applied.json").read_text())["kept"] == 50


@pytest.mark.by_day("parquet-spelling1")
@pytest.mark.parametrize(
    ("suffix", "spelling"),
    [
        ("csv", ["popularity", "hour"]),
        ("parquet", ["popularity,hour"]),
        ("jsonl", ["popularity", "--confounders", "hour"]),
    ],
)
def test_every_format_and_every_spelling_of_a_list_give_the_same(tmp_path, suffix, spelling):
    path = write_table(tmp_path / f"t.{suffix}", observed_rows(200))
    code, output = deconfound(
        path, "--outcome", "clicks", "--confounders", *spelling, "--estimator", "ols", "--out", tmp_path / "out"
    )
    assert code == 0, output
    saved = json.loads((tmp_path / "out" / "correction.json").read_text())
    data = columns_of(observed_rows(200))
    direct = ESTIMATORS["ols"]().fit(data["clicks"], {"popularity": data["popularity"], "hour": data["hour"]})
    assert saved["confounders"] == ["popularity", "hour"]
    np.testing.assert_allclose(saved["coefficients"], direct.coef_, rtol=0, atol=1e-8)


def test_words_are_split_at_commas():
    assert words(["a,b", "c", " , d"]) == ("a", "b", "c", "d")
    assert words(None) == ()


@pytest.mark.by_day("csv")
@pytest.mark.parametrize("name", ["csv", "parquet", "jsonl"])
def test_a_table_that_is_not_kept_gives_the_same_rewards(monkeypatch, tmp_path, name):
    path = write_table(tmp_path / f"t.{name}", observed_rows(300))
    options = [*COLUMNS, "--instruments", "shock", "--instrumented", "popularity", "--groups", "author"]
    frames = []
    for memory in (0, 10**9):
        out = tmp_path / f"out{memory}"
        keep(monkeypatch, memory)
        code, output = deconfound(path, *options, "--out", out)
        assert code == 0, output
        frames.append(pd.read_parquet(out / "corrected.parquet"))
    np.testing.assert_allclose(frames[0]["reward"], frames[1]["reward"], atol=1e-9)


def test_missing_values_are_refused_or_left_out_and_counted(tmp_path):
    rows = observed_rows(200)
    rows[3]["popularity"] = rows[4]["clicks"] = None
    path = write_table(tmp_path / "t.csv", rows)
    options = [path, *COLUMNS, "--estimator", "ols", "--out", tmp_path / "out"]
    code, output = deconfound(*options)
    assert (code, "row 5, column `popularity`" in output, "--on_bad_rows skip" in output) == (1, True, True)
    assert not (tmp_path / "out").exists()
    code, output = deconfound(*options, "--on_bad_rows", "skip")
    assert code == 0
    assert "1  rows without popularity, left out" in output
    assert len(pd.read_parquet(tmp_path / "out" / "corrected.parquet")) == 198
    saved = json.loads((tmp_path / "out" / "correction.json").read_text())
    assert (saved["num_rows"], saved["num_dropped"]) == (198, 2)


@pytest.mark.by_day("1000000000")
@pytest.mark.parametrize("memory", [0, 10**9])
def test_dates_are_confounders_and_the_output_names_their_unit(monkeypatch, tmp_path, memory):
    keep(monkeypatch, memory)
    rows = [row | {"when": f"2024-01-{1 + row['hour']:02d}T06:00Z"} for row in observed_rows(300)]
    path, out = write_table(tmp_path / "t.csv", rows), tmp_path / "out"
    options = [path, "--outcome", "clicks", "--confounders", "popularity", "when", "--estimator", "ols"]
    code, output = deconfound(*options, "--out", out)
    assert code == 0, output
    assert "when is read in days since 1970-01-01 by the clock as written" in output
    data, saved = columns_of(rows), json.loads((out / "correction.json").read_text())
    confounders = {"popularity": data["popularity"], "when": data["when"]}
    direct = ESTIMATORS["ols"]().fit(data["clicks"], confounders)
    np.testing.assert_allclose(saved["coefficients"], direct.coef_, rtol=1e-9)
    assert "when in days since 1970-01-01 by the clock as written" in (out / "report.html").read_text()
    frame = pd.read_parquet(out / "corrected.parquet")
    assert frame["when"].tolist() == data["when"]
    np.testing.assert_allclose(frame["reward"], direct.correct(data["clicks"], confounders), atol=1e-9)
    numbers = write_table(tmp_path / "n.csv", [row | {"when": row["hour"]} for row in rows])
    code, output = deconfound(numbers, "--apply", out / "correction.json", "--out", tmp_path / "applied")
    assert (code, "gets it in numbers" in output) == (1, True)


def test_a_public_schema_needs_no_columns(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        UPWORTHY | {"clicks": int(rng.integers(10, 90)), "headline": f"h{row % 7} w{row % 5}",
                    "clickability_test_id": f"t{row % 9}",
                    "created_at": f"2014-11-{1 + row % 27:02} {row % 24:02}:00:00"}
        for row in range(120)
    ]  # fmt: skip
    path = write_table(tmp_path / "t.csv", rows)
    code, output = deconfound(path, "--adapter", "upworthy", "--estimator", "dml", "--out", tmp_path / "out")
    assert code == 0, output
    frame = pd.read_parquet(tmp_path / "out" / "corrected.parquet")
    assert {"click_rate", "day", "hour", "reward"} <= set(frame.columns)


def test_columns_may_be_made_by_a_function_in_a_file(tmp_path, table):
    (tmp_path / "mine.py").write_text("def read(row):\n    return {'earned': 2 * float(row['clicks'])}\n")
    options = ["--adapter", f"{tmp_path / 'mine.py'}:read", "--estimator", "ols", "--out", tmp_path / "out"]
    code, output = deconfound(table, *COLUMNS, "--outcome", "earned", *options)
    assert code == 0, output
    ours = ["--estimator", "ols", "--out", tmp_path / "ours"]
    assert deconfound(table, *COLUMNS, *ours)[0] == 0
    made, plain = (json.loads((tmp_path / name / "correction.json").read_text()) for name in ("out", "ours"))
    assert made["coefficients"] == pytest.approx([2 * value for value in plain["coefficients"]])


def test_text_of_the_data_is_escaped(tmp_path):
    rows = [
        {f"<b>{key}" if key == "popularity" else key: value for key, value in row.items()}
        for row in observed_rows(100)
    ]
    path = write_table(tmp_path / "t.jsonl", rows)
    options = [
        "--outcome",
        "clicks",
        "--confounders",
        "<b>popularity",
        "--estimator",
        "ols",
        "--out",
        tmp_path / "out",
    ]
    assert deconfound(path, *options)[0] == 0
    assert "<b>popularity" not in (tmp_path / "out" / "report.html").read_text()


REFUSED = {
    "no outcome": (["--confounders", "hour"], ["`--outcome` is missing"]),
    "no confounder": (["--outcome", "clicks"], ["`--confounders` is missing"]),
    "no such column": (["--outcome", "clicks", "--confounders", "popularty"], ["'popularty'", "'popularity'?"]),
    "misspelt estimator": ([*COLUMNS, "--estimator", "dmll"], ["`estimator`", "Did you mean 'dml'?"]),
    "misspelt policy": ([*COLUMNS, "--on_bad_rows", "drop"], ["`on_bad_rows` must be one of raise, skip"]),
    "misspelt adapter": ([*COLUMNS, "--adapter", "upworty"], ["Did you mean 'upworthy'?"]),
    "no instrument": ([*COLUMNS, "--estimator", "iv"], ["needs `instruments`"]),
    "too few rows": ([*COLUMNS, "--estimator", "ols", "--max_rows", "10"], ["need at least"]),
    "margin alone": ([*COLUMNS, "--margin", "1"], ["`--pairs FILE`"]),
    "pairs alone": ([*COLUMNS, "--pairs", "p.jsonl"], ["needs `--margin`"]),
    "pairs without prompts": ([*COLUMNS, "--pairs", "p.jsonl", "--margin", "1"], ["`--prompt` or `--groups`"]),
    "pairs of another format": ([*COLUMNS, "--pairs", "p.csv", "--margin", "1"], ["new .jsonl file"]),
    "no such correction": (["--apply", "nowhere.json", "--outcome", "clicks"], ["nowhere.json cannot be read"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_in_a_sentence(tmp_path, table, case):
    options, expected = REFUSED[case]
    code, output = deconfound(table, *options, "--out", tmp_path / "out")
    assert code == 1
    assert [word for word in expected if word not in output] == [], output
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(tmp_path, table):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    code, output = deconfound(table, *COLUMNS, "--estimator", "ols", "--out", tmp_path / "out")
    assert code == 1
    assert "holds something" in output
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_the_correction_is_kept_where_the_diagnostics_end_early(tmp_path, table, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("align.methods.deconfound.command.diagnose", interrupted)
    code, _ = deconfound(table, *COLUMNS, "--estimator", "ols", "--out", tmp_path / "out")
    assert code != 0
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "corrected.parquet",
        "correction.json",
        "unfinished.json",
    }


def test_a_column_named_reward_is_refused(tmp_path):
    path = write_table(tmp_path / "t.csv", [row | {"reward": 1} for row in observed_rows(100)])
    code, output = deconfound(path, *COLUMNS, "--estimator", "ols", "--out", tmp_path / "out")
    assert (code, "'reward' already" in output) == (1, True)


def test_the_pairs_train_a_policy_with_rrpo(corrected, tmp_path, tiny_model_folder):
    content = {
        "method": "rrpo", "model_name_or_path": str(tiny_model_folder), "dataset": {"path": str(corrected[2])},
        "per_device_train_batch_size": 4, "max_steps": 2, "max_length": 64, "learning_rate": 1e-3, "logging_steps": 1,
        "use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True, "output_dir": str(tmp_path / "run"),
    }  # fmt: skip
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(content))
    findings = prepare(load_recipe(recipe), Launch()).findings
    assert not [finding.text for finding in findings if finding.level == "error"]
    assert train(str(recipe), [], None) == 0
    assert sorted(metrics_of(tmp_path / "run")) == [1, 2]


@pytest.fixture(scope="module")
def by_channel(tmp_path_factory):
    """A log in which the web pays 3 clicks more than mail, and the app 3 less."""
    rng = np.random.default_rng(0)
    channel = rng.choice(["mail", "web", "app"], 600)
    followers = rng.normal(size=600)
    clicks = 2 * followers + 3.0 * (channel == "web") - 3.0 * (channel == "app") + rng.normal(size=600)
    words = rng.choice(["big", "new", "odd", "red"], (600, 3))
    frame = pd.DataFrame({"headline": [" ".join(each) for each in words], "clicks": clicks, "channel": channel})
    path = tmp_path_factory.mktemp("log") / "log.csv"
    frame.assign(followers=followers).to_csv(path, index=False)
    return path


@pytest.mark.by_day("dml")
@pytest.mark.parametrize("estimator", ["ols", "dml", "fixed_effects"])
def test_a_category_among_the_confounders_leaves_nothing_of_itself_in_the_reward(by_channel, tmp_path, estimator):
    named = ["--outcome", "clicks", "--confounders", "followers", "channel", "--text", "headline"]
    if estimator == "fixed_effects":
        frame = pd.read_csv(by_channel).assign(author=[f"a{i % 40}" for i in range(600)])
        frame.to_csv(by_channel, index=False)
        named += ["--groups", "author"]
    code, output = deconfound(by_channel, *named, "--estimator", estimator, "--out", tmp_path / "out")
    assert code == 0, output
    reward = pd.read_parquet(tmp_path / "out" / "corrected.parquet").groupby("channel")["reward"].mean()
    assert reward.max() - reward.min() < 0.3
    explained = json.loads((tmp_path / "out" / "diagnostics.json").read_text())["explained"]
    shares = {each["name"]: (each["kind"], each["before"], each["after"]) for each in explained}
    assert shares["channel"][0] == "category"
    assert shares["channel"][1] > 0.4 > 0.02 > shares["channel"][2]
    assert "explains of the outcome" in re.sub(r"\s+", " ", output)
    assert "What each column explains" in (tmp_path / "out" / "report.html").read_text()


def test_groups_that_are_left_in_the_reward_are_said(by_channel, tmp_path):
    named = ["--outcome", "clicks", "--confounders", "followers", "--groups", "channel", "--text", "headline"]
    code, output = deconfound(by_channel, *named, "--estimator", "dml", "--out", tmp_path / "out")
    assert code == 0, output
    said = re.sub(r"\s+", " ", output)
    assert re.search(r"The groups 'channel' explain \d+ ?% of the reward: they are clusters here", said), said


def test_a_level_that_was_not_fitted_is_counted_where_a_correction_is_applied(by_channel, tmp_path):
    named = ["--outcome", "clicks", "--confounders", "followers", "channel"]
    assert deconfound(by_channel, *named, "--estimator", "ols", "--out", tmp_path / "fit")[0] == 0
    other = pd.read_csv(by_channel).head(20).assign(channel="phone")
    other.to_csv(tmp_path / "new.csv", index=False)
    saved = tmp_path / "fit" / "correction.json"
    code, output = deconfound(tmp_path / "new.csv", "--apply", saved, "--out", tmp_path / "applied")
    assert code == 0, output
    assert "20  rows whose level of 'channel' was not fitted" in output
    assert json.loads((tmp_path / "applied" / "applied.json").read_text())["unknown_levels"] == {"channel": 20}
