"""Consistency from a recipe, of answers and of completions: the run, its page and card, and what is checked."""

import json

import pytest
import yaml
from pair_recipe import write_rows
from safetensors.torch import load_file

from align.checks.launch import Launch
from align.errors import RecipeError
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare
from align.services.train import run

pytestmark = pytest.mark.slow

OWN = "def shout(version, rng):\n    return version.question.upper() + '!' * rng.randint(1, 3)\n"
REWARD = "\ndef variety(completions, **kwargs):\n    return [len(set(c)) / 10 for c in completions]\n"
ROWS = {
    "sft": [{"prompt": f"{i} + {i}? ", "completion": f"It is {2 * i}."} for i in range(8)],
    "grpo": [{"id": f"r{i}", "prompt": f"say {i}", "answer": str(i)} for i in range(8)],
}
SETTINGS = {
    "sft": {"per_device_train_batch_size": 4, "max_length": 64, "learning_rate": 1e-2},
    "grpo": {
        "reward_funcs": ["./mine.py:variety"], "num_generations": 4, "per_device_train_batch_size": 8,
        "max_completion_length": 8, "learning_rate": 1e-3,
    },
}  # fmt: skip


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    def write(method, own=OWN, rows=None, **changes):
        (tmp_path / "mine.py").write_text(own + REWARD)
        write_rows(tmp_path / "rows.jsonl", rows or ROWS[method])
        content = {
            "method": method, "model_name_or_path": str(tiny_model_folder), "output_dir": "./run",
            "dataset": {"path": "./rows.jsonl"}, "consistency_coef": 1.0,
            "consistency_families": ["./mine.py:shout"], "max_steps": 2, "logging_steps": 1, "save_steps": 1,
            "bf16": False, "use_cpu": True, "report_to": "none",
        }  # fmt: skip
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content | SETTINGS[method] | changes))
        return tmp_path / "recipe.yaml"

    return write


@pytest.mark.by_day("grpo-on_card1")
@pytest.mark.parametrize(
    ("method", "on_card"), [("sft", ("trained with **SFT with consistency**", "2505.19616")), ("grpo", ())]
)
def test_a_run_says_so_and_a_continued_one_ends_where_it_would_have(recipe, tmp_path, method, on_card):
    path = str(recipe(method, consistency_families=["whitespace", "./mine.py:shout"]))
    assert run(path, [], None) == 0
    assert run(path, ["--output_dir", str(tmp_path / "again")], str(tmp_path / "run" / "checkpoint-1")) == 0
    ends = [load_file(tmp_path / name / "model.safetensors") for name in ("run", "again")]
    assert all(ends[0][name].equal(ends[1][name]) for name in ends[0])
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    trained = [line for line in lines if "loss" in line]
    assert all(0 < line["consistency/divergence"] < 0.7 and line["consistency/changed"] == 1 for line in trained)
    card, page = ((tmp_path / "run" / name).read_text() for name in ("README.md", "report.html"))
    for words in (*on_card, "| consistency_coef | 1.0 |"):
        assert words in card
    for words in ("Divergence under a perturbed prompt", "Weight of the divergence (consistency_coef)"):
        assert words in page
    assert "What that step moves" not in page


@pytest.mark.parametrize(
    ("method", "own", "words"),
    [
        ("sft", "def shout(version, rng):\n    return 3\n", "it must return a text (the new question)"),
        ("sft", "def shout(version, rng):\n    return None\n", "changes none of 8 rows that were tried"),
        ("sft", "import random\ndef shout(version, rng):\n    return str(random.random())\n", "gives another version"),
        ("sft", "def cry(version, rng):\n    return None\n", "has no 'shout'"),
        ("grpo", "def shout(version, rng):\n    return 1 / 0\n", "it raised ZeroDivisionError"),
        ("grpo", "def shout(row, rng):\n    return row['prompt'] + '?', '9'\n", "it changed the answer '0' to '9'"),
    ],
)
def test_families_are_tried_before_training(recipe, method, own, words):
    assert words in said(recipe(method, own), "error")


def test_rows_that_nothing_changes_are_counted(recipe):
    own = "def shout(version, rng):\n    return 'Three?' if version.question.startswith('3') else None\n"
    assert "No family changes 7 of 8 rows that were tried" in said(recipe("sft", own), "warning")


def test_rows_whose_answer_is_none_are_an_error(recipe):
    rows = [{"id": "r", "messages": [{"role": "assistant", "content": "x"}]}]
    found = said(recipe("sft", rows=rows), "error")
    assert "Row r: `consistency_coef` above 0 compares answers behind two prompts" in found


def test_a_recipe_that_is_right_says_what_its_families_do(recipe):
    found = prepare(load_recipe(recipe("grpo")), Launch()).findings
    assert [finding.check for finding in found if finding.level != "ok"] == ["experimental"]
    (told,) = [finding.text for finding in found if finding.check == "families"]
    assert told == "Family `shout` changes 8 of 8 rows that were tried."
    (memory,) = [finding.text for finding in found if finding.check == "memory"]
    assert "behind two prompts each" in memory


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"consistency_coef": -1}, "`consistency_coef` must be at least 0"),
        ({"consistency_divergence": "jsd"}, "must be one of js, kl"),
        ({"consistency_families": ["option_order"]}, "which changes the options of a question"),
        ({"fsdp": "full_shard"}, "needs the output head whole on every process"),
    ],
)
def test_what_cannot_be_is_refused_when_the_recipe_is_read(recipe, changes, words):
    with pytest.raises(RecipeError, match=words):
        load_recipe(recipe("grpo", **changes))


def said(path, level):
    return " ".join(each.text for each in prepare(load_recipe(path), Launch()).findings if each.level == level)
