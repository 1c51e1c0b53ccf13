"""Recipes with tools are rehearsed with them, and prompts filtered by the same answers."""

import json
import shlex

import pytest
import yaml
from shop_policies import SHOP, save_eager_policy

import align
from align.cli.app import app

READS = """
def accuracy(completions, environments, **columns):
    return [float(len(each.prices) != 44) for each in environments]
"""
BROKEN = '''
def price(item: str) -> int:
    """Looks up what an item costs.

    Args:
        item: The name of the item.
    """
    raise LookupError("the shop is closed")
'''


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    return save_eager_policy(tmp_path_factory.mktemp("models") / "eager")


@pytest.fixture
def recipe(eager, tmp_path):
    def write(**changes):
        content = {
            "method": "grpo", "model_name_or_path": str(eager), "output_dir": str(tmp_path / "run"),
            "dataset": {"path": str(SHOP / "train.jsonl")}, "tools": [f"{SHOP}/shop.py:price"], "tool_timeout": 5,
            "max_tool_calling_iterations": 2, "reward_funcs": ["number_accuracy"], "max_steps": 2,
            "per_device_train_batch_size": 16, "num_generations": 8, "max_completion_length": 40, "bf16": False,
            "use_cpu": True, "gradient_checkpointing": False, "report_to": "none",
        } | changes  # fmt: skip
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
        return tmp_path / "recipe.yaml"

    return write


def rehearsed(path, out, **options):
    found = align.rehearse(path, out=out, num_prompts=8, **options).record.found
    return found, {each.name: each.estimate.value for each in found.measures}


def test_completions_are_answered_with_tools_and_a_filter_finds_them(recipe, tmp_path, capsys):
    path = recipe()
    found, numbers = rehearsed(path, tmp_path / "out")
    assert 0.4 < numbers["called"] < 0.9
    assert numbers["lost"] == 0
    assert next(table for table in found.tables if table.title == "Tools").rows[0][0] == "price"
    assert any("tool: " in each["completion"] for each in found.samples)
    assert not [each for each in found.findings if each.check in ("sampling", "tools") and each.level != "ok"]
    line = next(table.note for table in found.tables if table.title == "Pass rates").partition("`")[2].rstrip("`")
    kept = tmp_path / "kept.jsonl"
    words = [*shlex.split(line)[1:], "--out", str(kept), "--max_rows", "100"]
    assert not app(words, standalone_mode=False)
    assert "8 of 36 prompts were sampled before" in capsys.readouterr().err
    rows = [json.loads(each) for each in kept.read_text().splitlines()]
    assert len(rows) > 20
    assert all(0 < row["pass_rate"] < 1 and row["asked"] for row in rows)


def test_an_environment_rewards_a_rehearsal(recipe, tmp_path):
    path = recipe(tools=None, reward_funcs=[], environment_factory=f"{SHOP}/shop.py:Shop")
    found, numbers = rehearsed(path, tmp_path / "out")
    assert numbers["pass_rate"] == pytest.approx(numbers["called"], abs=0.3)
    assert {"Shop"} == set(found.samples[0]["rewards"])
    (tmp_path / "own.py").write_text(READS)
    beside = recipe(tools=None, reward_funcs=["./own.py:accuracy"], environment_factory=f"{SHOP}/shop.py:Shop")
    found, numbers = rehearsed(beside, tmp_path / "beside")
    assert {each["rewards"]["accuracy"] for each in found.samples} == {0.0}, "it read the prices of its environment"
    (phantom,) = [each for each in found.findings if each.check == "phantom"]
    assert (phantom.fix, "where the environment sets them" in phantom.text) == ("", True), "no gate can name it"


def test_a_broken_tool_and_results_that_do_not_fit_are_found(recipe, tmp_path):
    (tmp_path / "own.py").write_text(BROKEN)
    found, numbers = rehearsed(recipe(tools=["./own.py:price"], max_completion_length=200), tmp_path / "one")
    (broken,) = [each for each in found.findings if each.check == "tools" and each.level == "warning"]
    assert "the shop is closed" in broken.text
    found, numbers = rehearsed(recipe(max_completion_length=18), tmp_path / "two")
    assert numbers["unanswered"] == pytest.approx(numbers["called"], abs=0.2)
    assert any("does not fit" in each.text for each in found.findings if each.level == "warning")
