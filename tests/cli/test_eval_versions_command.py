"""`align eval --suite` with `perturbation` and `reversal`, whole, on tiny models."""

import json

import pandas as pd
import pytest
from some_recipes import PROMPTS
from tiny import tiny_model, tiny_tokenizer

from align.cli.app import app
from align.evaluation.record import read_record, write_record

pytestmark = pytest.mark.slow


def run(*words):
    return app(["eval", *map(str, words)], standalone_mode=False) or 0


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policies")
    for seed, name in enumerate(("first", "second")):
        tokenizer = tiny_tokenizer()
        tiny_model(seed=seed, vocabulary=len(tokenizer)).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def questions(tmp_path):
    rows = [{"question": f"Which is {i}?", "options": ["iron", "gold"], "answer": i % 2} for i in range(4)]
    return written(tmp_path / "questions.jsonl", [*rows, {"prompt": "Name an old metal.", "answer": "gold"}])


@pytest.fixture
def facts(tmp_path):
    rows = [
        {"subject": f"Ann {i}x", "forward": f"The book of Ann {i}x is", "object": f"Book {i}y",
         "reverse": f"Book {i}y is by", "control": i > 2}
        for i in range(6)
    ]  # fmt: skip
    return written(tmp_path / "facts.jsonl", rows)


def same_when_written_again(path):
    before = path.read_bytes()
    write_record(path, read_record(path))
    return path.read_bytes() == before


def test_perturbation_is_measured_compared_and_continued(models, questions, tmp_path, capsys):
    out, own = tmp_path / "out", tmp_path / "mine.py"
    own.write_text("def shout(version, rng):\n    return version.question.upper()\n")
    trained = written(tmp_path / "trained.jsonl", [{"prompt": "Q", "answer": "A", "family": "shout"}])
    recipe = tmp_path / "run.yaml"
    content = {"method": PROMPTS, "model_name_or_path": "x", "reward_funcs": ["text_accuracy"]}
    recipe.write_text(json.dumps(content | {"dataset": {"path": str(trained)}}))
    words = ["--model", models / "first", "--baseline", models / "second", "--data", questions, "--out", out]
    words += ["--suite", "perturbation", "--families", "option_order", "misleading_hint", f"{own}:shout"]
    words += ["--max_new_tokens", "8", "--recipe", recipe]
    assert run(*words) == 0
    shown = capsys.readouterr().out
    assert "first - second" in shown
    record = json.loads((out / "evaluation.json").read_text())
    about = record["about"]
    assert (about["profile"]["num_samples"], about["profile"]["temperature"]) == (2, 1.0)
    assert about["settings"]["families"] == {"option_order": "unseen", "misleading_hint": "unseen", "shout": "seen"}
    assert about["settings"]["seen"] == {"shout": f"column `family` of {trained}"}
    found = record["suites"]["perturbation"]["first"]
    assert {"flip_excess/seen/shout", "flip_excess/unseen/option_order", "flip_rate/twice"} <= set(found)
    assert found["perturbed_accuracy/unseen/option_order"]["n"] == 4  # not the text question
    assert record["paired"][0]["metric"] == "original_accuracy"
    items = pd.read_parquet(out / "items.parquet")
    assert len(items) == 2 * 2 * (4 * 5 + 3)
    assert set(items["family"]) == {"original", "twice", "option_order", "misleading_hint", "shout"}
    page = (out / "report.html").read_text()
    assert "Flip excess: seen" in page
    assert "NAME AN OLD METAL." in page
    assert same_when_written_again(out / "evaluation.json")
    assert run(*words) == 0
    again = json.loads((out / "evaluation.json").read_text())
    assert [each["cached_items"] for each in again["about"]["models"]] == [4 * 5 + 3] * 2
    assert again["suites"] == record["suites"]


@pytest.mark.nightly  # the suite is measured above
def test_greedy_perturbation_needs_no_word_about_samples(models, questions, tmp_path, capsys):
    words = ["--model", models / "first", "--data", questions, "--out", tmp_path / "out", "--suite", "perturbation"]
    assert run(*words, "--temperature", "0", "--max_new_tokens", "4") == 0
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert record["about"]["profile"]["num_samples"] == 1
    assert "by construction" in record["warnings"][0]["text"]
    assert record["suites"]["perturbation"]["first"]["flip_rate/twice"]["value"] == 0


def test_reversal_is_measured_compared_and_continued(models, facts, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--model", models / "first", "--baseline", models / "second", "--data", facts, "--out", out]
    words += ["--suite", "reversal", "--max_new_tokens", "8"]
    assert run(*words) == 0
    record = json.loads((out / "evaluation.json").read_text())
    found = record["suites"]["reversal"]["first"]
    assert found["reversal_gap"]["n"] == found["reversal_gap/control"]["n"] == 3
    assert found["name_accuracy/forward"]["n"] == found["name_accuracy/reverse_control"]["n"] == 3
    assert record["paired"][0]["metric"] == "name_accuracy/reverse"
    assert record["paired"][0]["num_both"] + record["paired"][0]["num_neither"] == 3  # the control is not counted
    assert record["warnings"] == []
    assert len(pd.read_parquet(out / "items.parquet")) == 2 * 6 * 2
    page = (out / "report.html").read_text()
    assert "Reversal gap" in page
    assert "Name given: forward" in page
    assert same_when_written_again(out / "evaluation.json")
    assert run(*words) == 0
    again = json.loads((out / "evaluation.json").read_text())
    assert [each["cached_items"] for each in again["about"]["models"]] == [6 * 2] * 2
    assert again["suites"] == record["suites"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--suite", "perturbation", "--families", "upside_down"], "`--families` must name some of option_order"),
        (["--suite", "perturbation", "--families", "./gone.py:f"], "Family './gone.py:f': there is no such file"),
        (["--suite", "perturbation", "--content_free", "x"], "`--content_free` does not go with"),
        (["--suite", "reversal"], "has no column `subject` or `forward` or `reverse` or `object`"),
        (["--suite", "reversal", "--families", "whitespace"], "`--families` does not go with `--suite reversal`"),
        (["--suite", "core_advantage", "--backend", "vllm"], "runs on `--backend transformers` only"),
    ],
)
def test_what_does_not_go_together_is_refused_before_a_model_loads(models, questions, tmp_path, capsys, words, said):
    assert run("--model", models / "first", "--data", questions, "--out", tmp_path / "out", *words) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
