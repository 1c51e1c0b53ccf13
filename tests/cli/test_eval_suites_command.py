"""`align eval --suite` with suites that bring rows of their own, whole, on tiny models."""

import json

import pandas as pd
import pytest
from peft import LoraConfig, get_peft_model
from tiny import tiny_model, tiny_tokenizer
from transformers import AutoModelForCausalLM

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
def core(tmp_path):
    rows = [
        {"question": f"Bird {i}?", "core": "water", "spurious": ["land", "sky"], "group": "ab"[i % 2]}
        for i in range(8)
    ]
    return written(tmp_path / "core.jsonl", rows)


def test_a_suite_is_measured_compared_and_continued(models, core, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--model", models / "first", "--baseline", models / "second", "--data", core, "--out", out]
    words += ["--suite", "core_advantage"]
    assert run(*words) == 0
    shown = capsys.readouterr().out
    assert "core_advantage" in shown
    assert "first - second" in shown
    record = json.loads((out / "evaluation.json").read_text())
    assert record["kind"] == "suite"
    assert record["about"]["settings"] == {"content_free": "N/A"}
    assert set(record["suites"]["core_advantage"]["first"]) >= {"core_advantage", "core_preferred", "core_preferred/a"}
    assert record["comparisons"][0]["metric"] == "core_preferred"
    items = pd.read_parquet(out / "items.parquet")
    assert len(items) == 16
    assert items["correct"].dtype == bool
    page = (out / "report.html").read_text()
    assert "Core preferred" in page
    assert "Bird 3?" in page
    before = (out / "evaluation.json").read_bytes()
    write_record(out / "evaluation.json", read_record(out / "evaluation.json"))
    assert (out / "evaluation.json").read_bytes() == before
    assert run(*words) == 0
    again = json.loads((out / "evaluation.json").read_text())
    assert [each["cached_items"] for each in again["about"]["models"]] == [8 * 3 + 3] * 2
    assert again["suites"] == record["suites"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--suite", "core_advantage", "accuracy"], "cannot stand beside others"),
        (["--suite", "core_advantage", "--num_shuffles", "2"], "`--num_shuffles` does not go with"),
        (["--suite", "core_advantage", "--backend", "vllm"], "runs on `--backend transformers` only"),
        (["--suite", "accuracy", "--content_free", "x"], "`--content_free` does not go with"),
    ],
)
def test_what_does_not_go_together_is_refused_before_a_model_loads(models, core, tmp_path, capsys, words, said):
    assert run("--model", models / "first", "--data", core, "--out", tmp_path / "out", *words) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_suite_without_data_says_what_rows_it_needs(models, tmp_path, capsys):
    assert run("--model", models / "first", "--suite", "core_advantage", "--out", tmp_path / "out") == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "needs `--data`: questions with a core and spurious options, with question core spurious." in said


def test_questions_of_a_public_schema_are_perturbed_by_group_also_with_an_adapter_of_weights(models, tmp_path):
    rows = [
        {"question": f"Metal {i}?", "choices": ["iron", "gold"], "answer": i % 2, "subject": ("ores", "rust")[i % 2]}
        for i in range(8)
    ]
    words = ["--suite", "perturbation", "--adapter", "mmlu", "--data", written(tmp_path / "mmlu.jsonl", rows)]
    words += ["--model", with_lora(models / "first", tmp_path / "lora"), "--baseline", models / "first"]
    words += ["--families", "whitespace", "--max_new_tokens", 2, "--temperature", 0]
    assert run(*words, "--out", tmp_path / "out") == 0
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert record["about"]["data"]["groups"] == {"ores": 4, "rust": 4}
    assert record["about"]["models"][0]["kind"] == "adapter"
    assert "by construction" in record["warnings"][0]["text"]
    assert record["warnings"][0]["model"] == "lora, first", "what is said of both models is said once"
    measured = record["suites"]["perturbation"]["lora"]
    assert {"original_accuracy/ores", "flip_excess_by_group/unknown/rust", "worst_group"} <= set(measured)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Accuracy of the versions in a group: rust" in page
    assert "Worst group" in page


def test_a_schema_of_rows_without_options_is_refused(models, core, tmp_path, capsys):
    words = ["--model", models / "first", "--data", core, "--out", tmp_path / "out", "--adapter", "mmlu"]
    assert run(*words, "--suite", "core_advantage") == 1
    assert "`--adapter` does not go with `--suite core_advantage`" in " ".join(capsys.readouterr().err.split())


def with_lora(base, folder):
    model = AutoModelForCausalLM.from_pretrained(base)
    get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2, init_lora_weights=False)).save_pretrained(folder)
    return folder
