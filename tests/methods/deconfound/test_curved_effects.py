"""The command with numbers whose effect is no line: what is removed, what is refused, and what a repeat does."""

import json
import math
import random
import re
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
from observed_table import write_outcome_recipe, write_table
from typer.testing import CliRunner

import align
from align.cli.app import app
from align.data.tables.observations import Observations
from align.data.tables.reading import TableFile
from align.errors import DataError
from align.methods.deconfound.correction.verdict import Explained, refuse_unremoved
from align.methods.deconfound.data import load
from align.recipe.recipe import load_recipe
from rewards.correction import Correction, NaiveResidual


def rows_of(count=2000, topics=(), effect=lambda hour: 3 * math.sin(2 * math.pi * (hour - 6) / 24)):
    rng = random.Random(1)
    rows = []
    for _ in range(count):
        hour, topic = rng.randrange(24), rng.choice(topics or ("",))
        guide = rng.random() < (0.7 if 8 <= hour <= 16 else 0.2)
        text = f"{topic} {'guide ' if guide else ''}word{rng.randrange(30)}".strip()
        votes = effect(hour) + guide + rng.gauss(0, 0.5) + ("dogs" in topic)
        rows.append({"text": text, "votes": votes, "hour": hour, "topic": topic or "none", "shock": rng.gauss(0, 1)})
    return rows


def deconfound(*words):
    result = CliRunner().invoke(app, ["deconfound", *map(str, words)], catch_exceptions=False)
    return result.exit_code, " ".join(result.output.split())


ROLES = ["--outcome", "votes", "--text", "text"]


def test_the_hour_leaves_the_reward_without_an_estimator_being_named(tmp_path):
    path = write_table(tmp_path / "t.csv", rows_of())
    code, output = deconfound(path, *ROLES, "--confounders", "hour", "--out", tmp_path / "out")
    assert code == 0, output
    assert "effect (dml)" in output
    assert "'hour' explains 9" in output
    assert "its effect is a curve" in output
    frame = pd.read_parquet(tmp_path / "out" / "corrected.parquet")
    guide = frame["text"].str.startswith("guide")
    assert frame["reward"][guide].mean() - frame["reward"][~guide].mean() == pytest.approx(1, abs=0.1)
    (found,) = json.loads((tmp_path / "out" / "diagnostics.json").read_text())["explained"]
    assert found["line"] < 0.05 < 0.9 < found["before"]
    assert found["left"] < found["chance"]
    assert not (tmp_path / "out" / "unfinished.json").exists()


def test_what_few_rows_do_not_show_to_be_taken_off_is_said_and_bands_of_text_are(tmp_path):
    def meals(hour):
        return 3 * (11 <= hour <= 14) + 2 * (18 <= hour <= 20)

    words = [*ROLES, "--confounders", "hour", "--out"]
    code, output = deconfound(write_table(tmp_path / "few.csv", rows_of(34, effect=meals)), *words, tmp_path / "few")
    assert (code, "That the effect of 'hour' is taken off is not shown" in output) == (0, True), output
    rows = rows_of(60, effect=meals)
    code, output = deconfound(write_table(tmp_path / "t.csv", rows), *words, tmp_path / "out")
    assert (code, "write it as a few bands of text" in output) == (1, True), output
    for row in rows:
        row["hour"] = "noon" if 11 <= row["hour"] <= 14 else "evening" if 18 <= row["hour"] <= 20 else "else"
    code, output = deconfound(write_table(tmp_path / "bands.csv", rows), *words, tmp_path / "bands")
    assert (code, "is not shown" in output) == (0, False), output


@pytest.mark.parametrize(("given", "name"), [(["--instruments", "shock"], "iv"), ([], "dml"), (None, "ols")])
def test_the_estimator_follows_the_columns(tmp_path, given, name):
    rows = [
        row | {"fame": row["shock"] + random.Random(number).gauss(0, 1)} for number, row in enumerate(rows_of(600))
    ]
    path = write_table(tmp_path / "t.csv", [row | {"votes": row["fame"] + row["votes"] / 9} for row in rows])
    roles = ROLES[:2] if given is None else [*ROLES, *given]
    code, output = deconfound(path, *roles, "--confounders", "fame", "--out", tmp_path / "out")
    assert (code, f"effect ({name})" in output) == (0, True), output


def test_a_recipe_needs_no_estimator_either(tmp_path, tiny_model_folder):
    path = write_outcome_recipe(tmp_path, tiny_model_folder, dataset={"instruments": []})
    assert load(load_recipe(path)).extra.correction.estimator == "dml"


def test_a_topic_that_the_text_gives_away_is_refused_and_both_remedies_work(tmp_path):
    path = write_table(tmp_path / "t.csv", rows_of(1200, ("cats", "dogs", "cars")))
    names = [*ROLES, "--confounders", "topic", "hour"]
    code, output = deconfound(path, *names, "--estimator", "dml", "--out", tmp_path / "out")
    assert code == 1
    assert "The text gives 'topic = " in output
    assert not (tmp_path / "out").exists()
    assert deconfound(path, *ROLES, "--confounders", "hour", "--out", tmp_path / "a")[0] == 0
    code, output = deconfound(path, *names, "--estimator", "ols", "--out", tmp_path / "b")
    assert code == 0, output
    found = pd.read_parquet(tmp_path / "b" / "corrected.parquet").groupby("topic")["reward"].mean()
    assert np.ptp(found) == pytest.approx(0, abs=1e-6)


def test_an_instrument_that_moves_what_acts_by_a_curve_ends_in_a_remedy_that_works(tmp_path):
    rng = random.Random(3)
    rows = []
    for row in rows_of(1500):
        fame = row["shock"] + rng.gauss(0, 1)
        rows.append(row | {"fame": fame, "votes": fame**2 + ("guide" in row["text"]) + rng.gauss(0, 0.5)})
    path = write_table(tmp_path / "t.csv", rows)
    names = [*ROLES, "--confounders", "fame", "--instruments", "shock", "--out", tmp_path / "out"]
    code, output = deconfound(path, *names)
    assert code == 1
    assert "After the correction 'fame' still explains" in output
    assert "by a curve, and `iv` takes off a line. No reward is written. Choose the estimator `dml`" in output
    assert not (tmp_path / "out").exists()
    assert deconfound(path, *names, "--estimator", "dml")[0] == 0


def test_ols_says_what_it_takes_along_and_what_it_leaves_and_dml_does_neither(tmp_path):
    rng, rows = random.Random(5), []
    for row in rows_of(600, effect=lambda hour: 0.0):
        device = rng.choice(["mobile", "desk"])
        together = math.sin(2 * math.pi * (row["hour"] - 6) / 24) * (1 if device == "mobile" else -1)
        rows.append(row | {"device": device, "votes": row["votes"] + together})
    path, said = write_table(tmp_path / "t.csv", rows), {}
    for name in ("ols", "dml"):
        words = [*ROLES, "--confounders", "hour", "device", "--estimator", name, "--out", tmp_path / name]
        code, said[name] = deconfound(path, *words)
        assert code == 0, said[name]
    along = (
        "`ols` takes off a part of what texts are worth, too: of that, as `dml` finds it, 'hour' explains .. %. Choose"
    )
    pair = "'hour' and 'device' together explain .. % of the reward: `ols` takes off what each does alone. `dml`"
    for sentence in (along, pair):
        assert re.search(sentence, said["ols"])
        assert not re.search(sentence, said["dml"])


def observed(error=0.01, estimator="dml", **details):
    fitted = NaiveResidual().fit(np.arange(300.0), np.sin(np.arange(300))).correction_
    changed = {"estimator": estimator, "standard_errors": (error,), "details": details}
    return Correction(**{name: changed.get(name, value) for name, value in vars(fitted).items()})


@pytest.mark.parametrize(
    ("correction", "after", "left", "words"),
    [
        (observed(), 0.3, 0.0, None),  # what texts are worth may go with a confounder, and hide its effect
        (observed(text_r2={"c": 0.8}), 0.3, 0.0, "'c' explains 30 % of the reward and 10 % of the outcome"),
        (observed(estimator="fixed_effects"), 0.3, 0.0, "'c' explains 30 % of the reward and 10 % of the outcome"),
        (observed(), 0.1, 0.2, "'c' still explains 20 % of the reward beyond the text"),
        (observed(error=50.0), 0.1, 0.0, "is known to ±.* the rows do not tell the effect of"),
        (observed(estimator="none"), 0.5, 0.5, None),
    ],
)
def test_a_reward_is_refused_that_holds_more_of_a_confounder_than_the_outcome(correction, after, left, words):
    columns = {"c": np.sin(np.arange(300))}
    rows = Observations(np.random.default_rng(0).normal(size=300), columns, {}, None, None, None, np.zeros(300, bool))
    found = [Explained("c", "number", 0.1, 0.1, after, left, 0.06)]
    if words is None:
        refuse_unremoved(correction, rows, found)
    else:
        with pytest.raises(DataError, match=words):
            refuse_unremoved(correction, rows, found)


def test_a_killed_command_goes_on_when_it_is_repeated(tmp_path):
    path, out = write_table(tmp_path / "t.csv", rows_of(3000)), tmp_path / "out"
    words = [str(path), *ROLES, "--confounders", "hour", "--out", str(out), "--groups", "topic", "--estimator", "ols"]
    rows = [row | {"topic": f"t{number % 50}"} for number, row in enumerate(rows_of(3000))]
    write_table(path, rows)
    words += ["--pairs", str(tmp_path / "pairs.jsonl"), "--margin", "0.5"]
    process = subprocess.Popen([sys.executable, "-m", "align", "deconfound", *words])
    deadline = time.monotonic() + 120
    while not (out / "correction.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    whole = tmp_path / "whole"
    assert (out / "unfinished.json").exists()
    (out / ".report.html.99").write_text("half")
    code, output = deconfound(*[*words[:-6], "--estimator", "dml"])
    assert (code, "holds what another command left unfinished" in output) == (1, True), output
    code, output = deconfound(*words)
    assert code == 0, output
    assert {file.name for file in out.iterdir()} == {
        "corrected.parquet", "correction.json", "diagnostics.json", "report.html", "README.md",
    }  # fmt: skip
    words = [word.replace(str(out), str(whole)).replace("pairs.jsonl", "other.jsonl") for word in words]
    assert deconfound(*words)[0] == 0
    for name in ("corrected.parquet", "correction.json", "diagnostics.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert (tmp_path / "pairs.jsonl").read_bytes() == (tmp_path / "other.jsonl").read_bytes()
    assert deconfound(*words)[0] == 1


def test_few_whole_numbers_and_timestamps_work_whether_the_table_is_kept_or_not(monkeypatch, tmp_path):
    rows = [
        row
        | {"when": f"2024-{1 + number % 12:02}-{1 + number % 28:02}T{row['hour']:02}:30:00+02:00", "code": number % 4}
        for number, row in enumerate(rows_of(1500))
    ]
    path, found = write_table(tmp_path / "t.csv", rows), []
    names = ["--outcome", "votes", "--confounders", "when", "code", "--estimator", "ols"]
    for memory in (0, 10**8):
        monkeypatch.setattr("align.methods.deconfound.command.TableFile", partial(TableFile, in_memory=memory))
        code, output = deconfound(path, *names, "--out", tmp_path / str(memory))
        assert code == 0, output
        found.append(pd.read_parquet(tmp_path / str(memory) / "corrected.parquet")["reward"])
    np.testing.assert_allclose(found[0], found[1], atol=1e-9)
    assert np.ptp([found[0][[row["hour"] == hour for row in rows]].mean() for hour in range(24)]) < 0.5
    assert np.ptp([found[0][[row["code"] == code for row in rows]].mean() for code in range(4)]) < 1e-6


def test_an_audit_takes_the_category_that_the_correction_takes(tmp_path):
    path = write_table(tmp_path / "t.csv", rows_of(600, ("cats and", "dogs and"), effect=lambda hour: 0.0))
    names, cues = {"kind": "outcomes", "outcome": "votes", "text": "text"}, []
    for number, columns in enumerate((["hour"], ["hour", "topic"])):
        found = align.audit(path, **names, confounders=columns, out=tmp_path / str(number))
        cues.append((tmp_path / str(number) / "audit.json").read_text())
        assert found.page.exists()
    assert ["dogs" in each for each in cues] == [True, False]
