"""Consistency from a recipe: the run, its page and card, a continued run, and what is checked before."""

import json

import pytest
import yaml
from pair_recipe import write_rows
from safetensors.torch import load_file

from align.checks.launch import Launch
from align.checks.recipe import check_recipe
from align.cli.train import run
from align.recipe.recipe import load_recipe

ROWS = [{"prompt": f"{i} + {i}? ", "completion": f"It is {2 * i}."} for i in range(8)]
OWN = "def shout(version, rng):\n    return version.question.upper() + '!' * rng.randint(1, 3)\n"


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    def write(own=OWN, rows=ROWS, **changes):
        (tmp_path / "mine.py").write_text(own)
        write_rows(tmp_path / "rows.jsonl", rows)
        content = {
            "method": "sft", "model_name_or_path": str(tiny_model_folder), "output_dir": "./run",
            "dataset": {"path": "./rows.jsonl"}, "consistency_coef": 1.0,
            "consistency_families": ["./mine.py:shout"], "max_steps": 4, "per_device_train_batch_size": 4,
            "max_length": 64, "learning_rate": 1e-2, "logging_steps": 1, "save_steps": 2, "bf16": False,
            "use_cpu": True, "report_to": "none",
        }  # fmt: skip
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content | changes))
        return tmp_path / "recipe.yaml"

    return write


def test_a_run_says_so_and_a_continued_one_ends_where_it_would_have(recipe, tmp_path):
    path = str(recipe(consistency_families=["whitespace", "./mine.py:shout"]))
    assert run(path, [], None) == 0
    assert run(path, ["--output_dir", str(tmp_path / "again")], str(tmp_path / "run" / "checkpoint-2")) == 0
    ends = [load_file(tmp_path / name / "model.safetensors") for name in ("run", "again")]
    assert all(ends[0][name].equal(ends[1][name]) for name in ends[0])
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    trained = [line for line in lines if "loss" in line]
    assert all(0 < line["consistency/divergence"] < 0.7 and line["consistency/changed"] == 1 for line in trained)
    card, page = ((tmp_path / "run" / name).read_text() for name in ("README.md", "report.html"))
    for words in ("trained with **SFT with consistency**", "2505.19616", "| consistency_coef | 1.0 |"):
        assert words in card
    for words in ("Divergence under a perturbed prompt", "Weight of the divergence (consistency_coef)"):
        assert words in page
    assert "What that step moves" not in page


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("def shout(version, rng):\n    return 3\n", "it must return a text (the new question)"),
        ("def shout(version, rng):\n    return None\n", "changes none of 8 rows that were tried"),
        ("import random\ndef shout(version, rng):\n    return str(random.random())\n", "gives another version when"),
        ("def cry(version, rng):\n    return None\n", "has no 'shout'"),
        ("def shout(version, rng):\n    return 1 / 0\n", "it raised ZeroDivisionError"),
    ],
)
def test_families_are_tried_before_training(recipe, own, words):
    assert words in said(recipe(own), "error")


def test_rows_that_nothing_changes_are_counted(recipe):
    own = "def shout(version, rng):\n    return 'Three?' if version.question.startswith('3') else None\n"
    assert "No family changes 7 of 8 rows that were tried" in said(recipe(own), "warning")


def test_rows_whose_answer_is_none_are_an_error(recipe):
    rows = [{"id": "r", "messages": [{"role": "assistant", "content": "x"}]}]
    assert "Row r: `consistency_coef` above 0 compares answers behind two prompts" in said(recipe(rows=rows), "error")


def said(path, level):
    return " ".join(each.text for each in check_recipe(load_recipe(path), Launch()).findings if each.level == level)
