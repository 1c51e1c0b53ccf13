import itertools
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from some_recipes import PROMPTS
from tiny import tiny_reward_model, tiny_tokenizer

from align.cli.app import app
from align.data.pairs.candidates import load_candidates
from align.errors import RunFolderError
from align.evaluation.record import read_record, write_record

pytestmark = pytest.mark.slow

SHORT = ("--max_new_tokens", "8")
SAMPLED = ("--num_samples", "4", "--temperature", "1", *SHORT)
MINE = """
def brevity(completions, **kwargs):
    return [1 / (1 + len(completion[-1]["content"])) for completion in completions]


def failing(completions, **kwargs):
    raise ValueError("no luck")


def hanging(completions, answer, **kwargs):
    import time

    for gold in answer:
        time.sleep(60 if gold == 6 else 0)
    return [1.0] * len(completions)
"""


def run(*words):
    return app(["eval", *map(str, words)], standalone_mode=False) or 0


@pytest.fixture(scope="module")
def models(answering_model_folder, tiny_model_folder, tmp_path_factory):
    """Two policies and a reward model."""
    folder = tmp_path_factory.mktemp("policies")
    shutil.copytree(answering_model_folder, folder / "practised")
    shutil.copytree(tiny_model_folder, folder / "untrained")
    tiny_reward_model(vocabulary=len(tiny_tokenizer())).save_pretrained(folder / "scalar")
    tiny_tokenizer().save_pretrained(folder / "scalar")
    return folder


@pytest.fixture
def data(tmp_path):
    rows = [
        {"prompt": [{"role": "user", "content": f"{i}+{i}?"}], "answer": 2 * i, "group": "ab"[i % 2]} for i in range(8)
    ]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "prompts.jsonl"


def record_in(folder):
    return json.loads((folder / "evaluation.json").read_text())


def test_rewards_of_every_kind_measure_two_policies(models, data, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--model", models / "practised", "--baseline", models / "untrained", "--data", data, "--out", out]
    words += ["--rewards", "number_accuracy", f"{data.parent}/mine.py:brevity", models / "scalar", *SAMPLED]
    assert run(*words) == 0
    printed = capsys.readouterr().out
    for text in ("pass@4/number_accuracy", "practised - untrained", "for practised, ", "; prompts won: "):
        assert text in printed
    record = record_in(out)
    assert record["kind"] == "prompts"
    assert list(record["suites"]) == ["number_accuracy", "brevity", "scalar"]
    assert record["about"]["data"]["groups"] == {"a": 4, "b": 4}
    assert record["about"]["profile"]["pass_at_k"] == [1, 4]
    assert {each["metric"] for each in record["paired"]} == {f"reward/{name}" for name in record["suites"]}
    assert all(key in record["glossary"] for key in ("reward/", "pass@"))

    items = pd.read_parquet(out / "items.parquet")
    assert len(items) == 8 * 4 * 2
    practised = items[items.model == "practised"]
    lengths = practised.completion.str.len()
    assert practised["reward/brevity"].tolist() == pytest.approx((1 / (1 + lengths)).tolist())
    assert practised["reward/scalar"].nunique() > 2
    for name in record["suites"]:
        mean = record["suites"][name]["practised"][f"reward/{name}"]["value"]
        assert mean == pytest.approx(practised[f"reward/{name}"].mean())
    per_prompt = items.groupby(["id", "model"])["reward/scalar"].mean().unstack()
    (paired,) = [each for each in record["paired"] if each["metric"] == "reward/scalar"]
    assert set(paired["wins"]) == set(per_prompt.index[per_prompt.practised > per_prompt.untrained])

    page = (out / "report.html").read_text()
    for text in ("has more scalar than", "right from 1", "4+4?", "prompts won: "):
        assert text in page
    assert "McNemar" not in page

    write_record(out / "again.json", read_record(out / "evaluation.json"))
    assert json.loads((out / "again.json").read_text()) == record
    (out / "again.json").write_text(json.dumps(record | {"about": record["about"] | {"rewards": [{"name": 3}]}}))
    with pytest.raises(RunFolderError, match=r"`about\.rewards\.0\.name`: Input should be a valid string; got 3"):
        read_record(out / "again.json")

    before = record["suites"]
    assert run(*words) == 0
    again = record_in(out)
    assert again["suites"] == before
    assert [model["cached_items"] for model in again["about"]["models"]] == [8, 8]


def test_a_run_has_its_own_rewards_and_audits(models, data, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(models / "practised", folder)
    recipe = (
        f"method: {PROMPTS}\nmodel_name_or_path: {folder}\noutput_dir: {folder}\nreward_funcs: [number_accuracy]\n"
        f"audit_funcs: [{data.parent}/mine.py:brevity, manipulation]\n"
        f"max_completion_length: 7\ndataset:\n  path: {data}\n"
    )
    (folder / "recipe.yaml").write_text(recipe)
    assert run("--model", folder, "--data", data, "--out", tmp_path / "out") == 0
    record = record_in(tmp_path / "out")
    assert [(each["name"], each["role"], each["better"]) for each in record["about"]["rewards"]] == [
        ("number_accuracy", "reward", "higher"),
        ("brevity", "audit", "neither"),  # which does not say so
        ("manipulation", "audit", "lower"),
    ]
    monitored = record["suites"]["manipulation"]["run"]  # all are 0, which is no wrong answer
    assert {name.partition("/")[0] for name in monitored} == {"reward"}
    assert monitored["reward/manipulation"]["value"] == 0 < monitored["reward/manipulation"]["high"]
    assert record["about"]["profile"]["max_new_tokens"] == 7
    assert record["about"]["recipe"] == str(folder / "recipe.yaml")
    assert record["paired"] == []
    assert "there is no baseline to compare with" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("wordings", ['"What is {a} + {a}?"', '["What is {a} + {a}?", "Add {a} to {a}."]'])
def test_prompts_that_a_recipe_makes_of_columns_are_made_for_other_rows(models, data, tmp_path, capsys, wordings):
    folder, rows = tmp_path / "run", tmp_path / "rows.jsonl"
    shutil.copytree(models / "practised", folder)
    recipe = (
        f"method: {PROMPTS}\nmodel_name_or_path: {folder}\noutput_dir: {folder}\nreward_funcs: [number_accuracy]\n"
        "max_completion_length: 7\ndataset:\n  path: x.jsonl\n  conversational: false\n"
        f"  prompt_template: {wordings}\n"
    )
    (folder / "recipe.yaml").write_text(recipe)
    rows.write_text("".join(json.dumps({"a": i, "answer": 2 * i}) + "\n" for i in range(3)))
    assert run("--model", folder, "--data", rows, "--out", tmp_path / "out") == 0
    items = pd.read_parquet(tmp_path / "out" / "items.parquet")
    assert list(items["prompt"]) == [f"What is {i} + {i}?" for i in range(3)]
    which = ", in the first of its 2 wordings" if "[" in wordings else ""
    assert f"`dataset.prompt_template` of {folder}/recipe.yaml makes the prompts{which}." in capsys.readouterr().err


def test_settings_of_a_reward_and_what_counts_as_right(models, data, tmp_path):
    words = ["--model", models / "practised", "--data", data, "--rewards", "length", *SHORT]
    words += ["--reward_kwargs", "{length: {max_length: 4, margin: 2}}", "--right_from", "-0.5"]
    assert run(*words, "--out", tmp_path / "out") == 0
    record = record_in(tmp_path / "out")
    items = pd.read_parquet(tmp_path / "out" / "items.parquet")
    right = (items["reward/length"] >= -0.5).mean()
    assert record["suites"]["length"]["practised"]["pass@1/length"]["value"] == pytest.approx(right)
    assert record["about"]["rewards"][0]["right_from"] == -0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rewards", "accuracy"], "Reward `accuracy` needs a column `options` that the data lacks"),
        (
            ["--rewards", "number_accuracy", "--pass_at_k", "4"],
            "`pass_at_k` must lie between 1 and `num_samples`, got 4",
        ),
        (["--rewards", "number_accuracy", "--pass_at_k", "two"], "`--pass_at_k` takes whole numbers, got 'two'"),
        (["--rewards", "nosuch"], "Unknown reward 'nosuch'"),
        (["--rewards", "number_accuracy", "--suite", "accuracy"], "`--suite` does not go with prompts and rewards"),
        (
            ["--rewards", "format", "--prompt_template", "{a}"],
            "by `dataset.prompt_template` of a recipe: give that as",
        ),
        (["--rewards", "number_accuracy", "--reward_timeout", "3"], "Give `--reward_workers 1`"),
        (["--rewards", "length", "--reward_kwargs", "{lenght: {}}"], "must name one of length, got 'lenght'"),
        ([], "Prompts are measured by rewards, and there is no recipe beside the model. Name some"),
        (["--rewards", "number_accuracy", "--num_samples", "2"], "Give a `temperature`"),
        (
            ["--rewards", "number_accuracy", "--samples_out", "c.jsonl"],
            "`--samples_out` with one sample of each prompt leaves",
        ),
        (["--rewards", "length", "--samples_out", "c.json"], "must name a new .jsonl file, got c.json."),
        (["--rewards", "length", "--samples_out", "{data}"], "prompts.jsonl that exists."),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_generated(words, message, models, data, tmp_path, capsys):
    words = [str(data) if word == "{data}" else word for word in words]
    assert run("--model", models / "practised", "--data", data, "--out", tmp_path / "out", *words) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Asking" not in error


def test_a_reward_that_always_fails_ends_the_evaluation_and_keeps_the_answers(models, data, tmp_path, capsys):
    words = ["--model", models / "practised", "--data", data, "--out", tmp_path / "out", *SHORT, "--rewards"]
    assert run(*words, f"{data.parent}/mine.py:failing") == 1
    error = capsys.readouterr().err
    assert "8 of 8 values are invalid (8 x error)" in error
    assert "no luck" in error
    assert run(*words, "number_accuracy") == 0
    assert record_in(tmp_path / "out")["about"]["models"][0]["cached_items"] == 8


def test_a_reward_that_hangs_on_one_prompt_costs_its_value(models, data, tmp_path, capsys):
    words = ["--model", models / "practised", "--data", data, "--out", tmp_path / "out", *SHORT]
    words += ["--rewards", f"{data.parent}/mine.py:hanging", "--reward_workers", 1, "--reward_timeout", 2]
    assert run(*words) == 0
    record = record_in(tmp_path / "out")
    assert record["about"]["rewards"][0]["invalid"] == {"practised": {"timeout": 1}}
    assert record["suites"]["hanging"]["practised"]["reward/hanging"]["n"] == 7
    assert "1 of 8 values of reward hanging are invalid (1 x timeout)" in capsys.readouterr().out


def test_samples_become_candidates_whose_best_of_n_is_what_a_model_chooses(models, data, tmp_path, capsys):
    against = tmp_path / "against"  # the same model, turned round: it likes best what is worst
    shutil.copytree(models / "scalar", against)
    weights = load_file(against / "model.safetensors")
    save_file(weights | {"score.weight": -weights["score.weight"]}, against / "model.safetensors", {"format": "pt"})
    out, file = tmp_path / "out", tmp_path / "candidates.jsonl"
    words = ["prompts", "--model", models / "practised", "--data", data, "--out", out, "--samples_out", file]
    words += ["--rewards", models / "scalar", *SAMPLED]
    assert run(*words) == 0
    assert f"The samples of 8 prompts are in {file}. `align eval reward-model" in capsys.readouterr().out
    items = pd.read_parquet(out / "items.parquet")
    samples, _ = load_candidates(file)
    assert [row.responses for row in samples] == [tuple(each) for _, each in items.groupby("id").completion]
    quality = np.array([row.quality for row in samples])
    assert quality.ravel() == pytest.approx(items["reward/scalar"])
    assert quality.std(axis=1).min() > 0

    chosen = tmp_path / "chosen"
    choosing = ["reward-model", "--reward_model", models / "scalar", "--baseline", against, "--best_of_n", file]
    assert run(*choosing, "--out", chosen) == 0
    record = read_record(chosen / "evaluation.json")
    pairs = [*itertools.combinations(range(4), 2)]
    for name, best in (("scalar", np.max), ("against", np.min)):
        curve = [record.summary(name)[f"best_of_{n}"].value for n in (1, 2, 4)]
        of_two = np.mean([best(quality[:, pair], axis=1) for pair in pairs])
        assert curve == pytest.approx([quality.mean(), of_two, best(quality, axis=1).mean()], abs=1e-5)
        assert all(record.summary(name)[f"best_of_{n}"].n == 8 for n in (1, 2, 4))

    before = file.read_bytes()
    file.unlink()  # as if the command had been stopped before its last step
    assert run(*words) == 0
    assert record_in(out)["about"]["models"][0]["cached_items"] == 8
    assert file.read_bytes() == before
    assert run(*words) == 0  # its own file is written again
    assert run(*words[:-1], "9", "--out", tmp_path / "other") == 1
    assert f"must name a new .jsonl file, got {file} that exists." in capsys.readouterr().err


def test_a_prompt_with_a_response_of_no_value_has_no_quality(models, data, tmp_path, capsys):
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    data.write_text("".join(json.dumps(row | {"answer": str(row["answer"] or "")}) + "\n" for row in rows))
    words = ["--model", models / "practised", "--data", data, "--out", tmp_path / "out", *SAMPLED]
    words += ["--rewards", "manipulation", "number_accuracy", "--samples_out", tmp_path / "c.jsonl"]
    assert run(*words) == 0
    assert "1 have a response without a value, and so no `quality`" in capsys.readouterr().out
    qualities = [row.quality for row in load_candidates(tmp_path / "c.jsonl")[0]]
    assert qualities[0] is None
    assert all(len(quality) == 4 for quality in qualities[1:])


def test_options_of_rewards_need_prompts(models, tmp_path, capsys):
    from written_questions import write_questions

    data = write_questions(tmp_path / "questions.jsonl", count=4)
    assert run("--model", models / "practised", "--data", data, "--out", tmp_path / "out", "--pass_at_k", "1") == 1
    assert "`--pass_at_k` does not go with multiple-choice questions" in capsys.readouterr().err
