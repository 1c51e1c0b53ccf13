"""Columns of several types reach the trainer and its rewards as the rows had them."""

import json

import datasets
import pytest
import yaml
from some_recipes import PROMPTS
from started import metrics_of

from align.errors import DataError
from align.services.train import run
from align.training import row_sets
from align.training.build import as_dataset

TEXTS = ["1945", "007", "1e3", "true", "null", "NaN", '"quoted"', "[1, 2]", "{}", "Paris", "\u8d70 \U0001f600\n\0", ""]


def column(values):
    return [{"id": f"r{i}", "answer": value} for i, value in enumerate(values)]


@pytest.mark.parametrize("other", [["Austen", "1"], 7, 0.5, True, {"a": "1"}, None])
def test_texts_stay_texts_beside_values_of_another_type(other):
    rows = column([*TEXTS, other])
    dataset = as_dataset(rows)
    assert dataset["answer"][:] == [*TEXTS, other]
    assert [type(value) for value in dataset["answer"]] == [type(row["answer"]) for row in rows]
    assert list(dataset.select([0, len(TEXTS)])) == [rows[0], rows[-1]]


def test_texts_stay_texts_inside_lists_and_blocks():
    rows = column([["1945", 1], [["true"], "null"], None, []])
    assert list(as_dataset(rows)) == rows
    told = [{"role": "user", "content": text} for text in TEXTS]
    parts = [{"role": "user", "content": [{"type": "text", "text": "1945"}]}]
    rows = [{"id": "a", "prompt": told}, {"id": "b", "prompt": parts}]
    assert list(as_dataset(rows)) == rows


def test_texts_stay_texts_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(row_sets, "LEAST", 3)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    rows = column([*TEXTS, ["Austen", "1"]])
    for _ in range(2):
        stored = as_dataset(rows)
        assert stored.cache_files
        assert list(stored) == rows


@pytest.mark.parametrize("values", [[2**53 + 1, 0.5], [2**63 + 5, -1], [2**63 + 5, "a"]])
def test_numbers_that_no_column_holds_are_one_sentence_with_its_name(values):
    with pytest.raises(DataError, match=r"^Column `answer` has values .* Write large numbers as texts"):
        as_dataset(column(values))


KEPT = """
import json
def kept(completions, answer, written, **kwargs):
    return [float(json.dumps(value) == text) for value, text in zip(answer, written, strict=True)]
"""


def test_rewards_of_a_run_get_texts_and_lists_of_texts(tmp_path, tiny_model_folder):
    answers = ["1945", ["Jane Austen", "Austen"], "true", "null"]
    rows = [{"id": str(i), "prompt": f"q{i}?", "answer": a, "written": json.dumps(a)} for i, a in enumerate(answers)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "own.py").write_text(KEPT)
    recipe = {
        "method": PROMPTS, "model_name_or_path": str(tiny_model_folder), "output_dir": str(tmp_path / "run"),
        "dataset": {"path": "./rows.jsonl", "conversational": False},
        "reward_funcs": ["text_accuracy", "./own.py:kept"],
        "num_generations": 2, "per_device_train_batch_size": 8, "max_completion_length": 4, "max_steps": 1,
        "logging_steps": 1, "save_strategy": "no", "use_cpu": True, "bf16": False, "report_to": "none",
        "gradient_checkpointing": False,
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert run(str(tmp_path / "recipe.yaml"), [], None) == 0
    metrics = metrics_of(tmp_path / "run")[1]
    assert (metrics["rewards/text_accuracy/mean"], metrics["rewards/kept/mean"]) == (0.0, 1.0)
