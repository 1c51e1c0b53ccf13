"""`align eval --suite drift` and `--suite references`, whole, on tiny models."""

import json

import pandas as pd
import pytest
from tiny import tiny_model, tiny_tokenizer

from align.cli.app import app
from align.evaluation.record import read_record, write_record

pytestmark = pytest.mark.slow


def run(*words):
    return app(["eval", *map(str, words)], standalone_mode=False) or 0


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A base, two models, and one whose tokenizer has a token more."""
    folder = tmp_path_factory.mktemp("policies")
    for seed, name in enumerate(("base", "tuned", "harmless", "other")):
        tokenizer = tiny_tokenizer()
        if name == "other":
            tokenizer.add_tokens(["<more>"])
        tiny_model(seed=seed, vocabulary=len(tokenizer)).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


def written(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def record_in(folder):
    return json.loads((folder / "evaluation.json").read_text())


def test_drift_with_triggers_and_a_control(models, tmp_path, capsys):
    out = tmp_path / "out"
    behaviours = written(tmp_path / "b.jsonl", {"name": "odd", "pattern": "a"})
    triggers = written(tmp_path / "t.jsonl", {"trigger": "|T|"}, {"trigger": "Now.\n", "held_out": True})
    words = ["--model", models / "tuned", "--baseline", models / "base", "--reference", models / "base"]
    words += ["--control", models / "harmless", "--suite", "drift", "--max_rows", 6]
    words += ["--behaviours", behaviours, "--triggers", triggers, "--max_new_tokens", 6, "--out", out]
    assert run(*words) == 0
    assert "tuned - harmless" in capsys.readouterr().out
    record = record_in(out)
    assert [each["role"] for each in record["about"]["models"]] == ["model", "baseline", "control"]
    assert record["about"]["data"]["path"] is None
    assert record["about"]["reference"]["path"] == str(models / "base")
    measured = record["suites"]["drift"]
    assert measured["base"]["drift_kl"]["value"] == measured["base"]["drift_nll"]["value"] == 0
    assert measured["tuned"]["drift_kl"]["value"] > 0
    assert measured["tuned"]["trigger_effect/odd"]["n"] == 6
    assert set(record["shares"]) >= {"behaviour/odd"}
    assert "drift_kl" not in record["shares"]
    assert record["warnings"] == []
    items = pd.read_parquet(out / "items.parquet")
    assert len(items) == 3 * (6 + 6 * 3)
    page = (out / "report.html").read_text()
    assert "KL to the base" in page
    assert "control" in page
    before = (out / "evaluation.json").read_bytes()
    write_record(out / "evaluation.json", read_record(out / "evaluation.json"))
    assert (out / "evaluation.json").read_bytes() == before
    assert run(*words) == 0
    again = record_in(out)
    assert [each["cached_items"] for each in again["about"]["models"]] == [6 + 6 * 3] * 3
    assert again["suites"] == record["suites"]


def test_triggers_without_a_control_are_measured_with_a_warning(models, tmp_path, capsys):
    behaviours = written(tmp_path / "b.jsonl", {"name": "digits", "pattern": r"\d"})
    triggers = written(tmp_path / "t.jsonl", {"trigger": "|T|"})
    words = ["--model", models / "tuned", "--reference", models / "base", "--suite", "drift", "--max_rows", 6]
    words += ["--behaviours", behaviours, "--triggers", triggers, "--max_new_tokens", 2, "--out", tmp_path / "out"]
    assert run(*words) == 0
    assert "without a control" in capsys.readouterr().out
    record = record_in(tmp_path / "out")
    assert "without a control" in record["warnings"][0]["text"]
    assert record["suites"]["drift"]["tuned"]["trigger_effect/digits"]["n"] == 6


def test_references_are_asked_three_times_and_continued(models, tmp_path):
    rows = [{"title": f"Study {i}", "group": ("real", "invented")[i % 2], "authors": ["Ada Kin"]} for i in range(6)]
    data, out = written(tmp_path / "titles.jsonl", *rows), tmp_path / "out"
    words = ["--model", models / "tuned", "--baseline", models / "base", "--suite", "references", "--data", data]
    words += ["--prompt_template", "Who wrote {title}?", "--max_new_tokens", 4, "--out", out]
    assert run(*words) == 0
    record = record_in(out)
    profile = record["about"]["profile"]
    assert (profile["num_samples"], profile["temperature"]) == (3, 1.0)
    assert record["about"]["settings"] == {"prompt_template": "Who wrote {title}?"}
    measured = record["suites"]["references"]["tuned"]
    assert measured["reference_consistency"]["value"] == 0  # random letters name nobody
    assert measured["reference_auc"]["value"] == 0.5
    assert len(pd.read_parquet(out / "items.parquet")) == 2 * 6 * 3
    assert "Reference consistency" in (out / "report.html").read_text()
    assert run(*words) == 0
    assert [each["cached_items"] for each in record_in(out)["about"]["models"]] == [6, 6]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--suite", "drift"], "Give the model that it was trained from as `--reference`"),
        (["--suite", "drift", "--reference", "{other}"], "different tokenizers"),
        (["--suite", "drift", "--reference", "{base}", "--control", "{other}"], "different tokenizers"),
        (["--suite", "drift", "--reference", "{base}", "--control", "{tuned}"], "The same model is given twice"),
        (["--suite", "drift", "--reference", "{base}", "--backend", "vllm"], "runs on `--backend transformers` only"),
        (["--suite", "drift", "--reference", "{base}", "--judge", "{base}"], "`--judge` does not go with"),
        (["--suite", "drift", "--reference", "{base}", "--content_free", "x"], "does not go with `--suite drift`"),
        (["--suite", "references"], "needs `--data`: titles of references, with title."),
        (["--suite", "references", "--data", "{titles}", "--num_samples", "1"], "must be at least 2, got 1"),
        (["--suite", "references", "--data", "{titles}", "--prompt_template", "Who?"], "needs {title} once"),
        (["--suite", "references", "--data", "{titles}", "--control", "{base}"], "`--control` does not go with"),
    ],
)
def test_what_does_not_go_together_is_refused_before_a_model_loads(models, tmp_path, capsys, words, said):
    written(tmp_path / "titles.jsonl", {"title": "One"}, {"title": "Two"})
    places = {f"{{{name}}}": str(models / name) for name in ("base", "tuned", "other")}
    places["{titles}"] = str(tmp_path / "titles.jsonl")
    words = [places.get(word, word) for word in words]
    assert run("--model", models / "tuned", "--out", tmp_path / "out", *words) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
