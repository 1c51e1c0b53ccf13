from pathlib import Path

import pytest
from some_recipes import PROMPTS

from align.models.rewards import resolve_rewards
from align.recipe.recipe import parse_recipe


def resolve(*rewards, **keys):
    content = {"method": PROMPTS, "model_name_or_path": "m", "dataset": {"path": "d.jsonl"}}
    return resolve_rewards(parse_recipe(content | {"reward_funcs": list(rewards)} | keys, Path("recipe.yaml")))


def test_a_limit_needs_somebody_who_can_be_stopped():
    with pytest.raises(ValueError, match=r"`reward_timeout` cannot stop unruly in the training process"):
        resolve("unruly_rewards.unruly", "unruly_rewards.patient", reward_timeout=5.0)
    assert len(resolve("unruly_rewards.unruly", reward_timeout=5.0, reward_workers=1)) == 1
    assert len(resolve("unruly_rewards.patient", reward_timeout=5.0)) == 1  # a coroutine can be


def test_audits_are_found_after_the_rewards():
    names = [reward.__name__ for reward in resolve("format", audit_funcs=["unruly_rewards.patient", "accuracy"])]
    assert names == ["format", "patient", "accuracy"]


def test_a_reward_model_is_no_audit(tiny_model_folder):
    with pytest.raises(ValueError, match=r"is a reward model, and audits are functions.*load_reward_model"):
        resolve("format", audit_funcs=[str(tiny_model_folder)])
