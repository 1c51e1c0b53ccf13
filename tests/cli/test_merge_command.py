"""`align merge`, whole, on tiny models."""

import json

import pytest
from tiny import tiny_model, tiny_tokenizer

from align.cli.app import app

pytestmark = pytest.mark.slow


def run(*words):
    return app(["merge", *map(str, words)], standalone_mode=False) or 0


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parents")
    tokenizer = tiny_tokenizer()
    for seed, name in enumerate(("base", "tuned")):
        tiny_model(seed=seed, vocabulary=len(tokenizer)).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


def parents(models):
    return ["--base", models / "base", "--tuned", models / "tuned"]


@pytest.fixture
def questions(tmp_path):
    rows = [
        {"id": f"q{i}", "question": f"{i}?", "options": ["iron", "gold"], "answer": i % 2, "group": "ab"[i % 2]}
        for i in range(12)
    ]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "questions.jsonl"


def test_one_weight_is_a_model_and_says_what_it_is_of(models, tmp_path, capsys):
    assert run(*parents(models), "--alpha", 0.25, "--out", tmp_path / "out") == 0
    assert "0.25 of" in " ".join(capsys.readouterr().err.split())
    said = json.loads((tmp_path / "out" / "merged.json").read_text())
    assert (said["alpha"], said["base"]["path"]) == (0.25, str(models / "base"))
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_weights_are_evaluated_beside_their_parents_and_one_is_picked(models, questions, tmp_path, capsys):
    out = tmp_path / "out"
    words = [*parents(models), "--alpha", "0:1:0.5", "0.25", "--data", questions, "--max_new_tokens", 4, "--out", out]
    assert run(*words, "--pick", "answered where accuracy >= 0") == 0
    shown = capsys.readouterr().out
    assert "minus base" in shown
    assert "Picked by `answered where accuracy >= 0`: alpha " in shown
    assert "Evaluate the picked model on items that were not used here." in shown
    record = json.loads((out / "merging.json").read_text())
    assert [each["alpha"] for each in record["models"]] == [0, 0.25, 0.5, 1]
    ours, evaluated = record["models"][2], json.loads((out / "evaluation" / "evaluation.json").read_text())
    assert ours["metrics"]["accuracy"] == evaluated["suites"]["accuracy"][ours["name"]]["accuracy"]
    assert ours["against_base"]["n"] == 12
    picked = next(each for each in record["models"] if each["alpha"] == record["picked"])
    kept = {each["alpha"] for each in record["models"] if each["path"] is not None}
    assert kept == {0, 1, picked["alpha"]}  # of equal ones that nearest to the base, which is never removed
    assert (models / "base" / "model.safetensors").is_file()
    page = (out / "report.html").read_text()
    assert "What each weight is worth" in page
    assert "was picked on these items" in page


@pytest.mark.nightly  # a sweep is measured and one picked above
def test_other_suites_stand_beside_accuracy_by_which_models_are_compared(models, questions, tmp_path):
    out = tmp_path / "out"
    words = [*parents(models), "--alpha", 0.5, "--data", questions, "--max_new_tokens", 4, "--out", out]
    assert run(*words, "--suite", "consistency") == 0
    record = json.loads((out / "merging.json").read_text())
    assert all({"accuracy", "option_shuffle_consistency"} <= each["metrics"].keys() for each in record["models"])
    assert (out / "report.html").is_file()


@pytest.mark.nightly  # a rule picks one above
def test_drift_is_measured_beside_and_may_bound_what_is_picked(models, questions, tmp_path):
    out = tmp_path / "out"
    words = [*parents(models), "--alpha", 0.5, "--data", questions, "--max_new_tokens", 4, "--out", out, "--drift"]
    assert run(*words, "--pick", "accuracy where drift_kl < 1e-9") == 0
    record = json.loads((out / "merging.json").read_text())
    base, merged, tuned = (each["metrics"]["drift_kl"]["value"] for each in record["models"])
    assert base == 0
    assert 0 < merged < tuned
    assert record["picked"] == 0
    assert "KL to the base" in (out / "report.html").read_text()


def test_a_sweep_that_is_given_again_asks_nothing_twice(models, questions, tmp_path, capsys):
    words = [
        *parents(models),
        "--alpha",
        "0:1:0.5",
        "--data",
        questions,
        "--max_new_tokens",
        4,
        "--out",
        tmp_path / "out",
    ]
    assert run(*words) == 0
    assert run(*words) == 0
    assert "as it was" in capsys.readouterr().err
    record = json.loads((tmp_path / "out" / "evaluation" / "evaluation.json").read_text())
    assert {each["cached_items"] for each in record["about"]["models"]} == {12}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--alpha", "1.5"], "`--alpha` must be a number from 0"),
        (["--pick", "accuracy"], "`--pick` needs `--data`"),
        (["--data", "none.jsonl"], "There is no file none.jsonl."),
        (["--max_rows", "5"], "`--max_rows` needs `--data`"),
        (["--data", "facts.jsonl", "--model", "x"], "`--model` is made of `--base`"),
        (["--data", "facts.jsonl", "--suite", "reversal"], "`--suite reversal` has rows of its own"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(models, tmp_path, capsys, words, said):
    assert run(*parents(models), "--out", tmp_path / "out", *words) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
