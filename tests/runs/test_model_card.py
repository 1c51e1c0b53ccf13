from pathlib import Path

import pytest

from align.configs.methods import METHODS
from align.configs.recipe import parse_recipe
from align.runs.model_card import CARDS, write_model_card

ACRE = {
    "method": "acre",
    "model_name_or_path": "owner/base",
    "dataset": {"path": "questions.jsonl"},
    "reward_funcs": ["answer_consistency", "format"],
    "reward_weights": [1.0, 0.2],
}
RRPO = {"method": "rrpo", "model_name_or_path": "owner/base", "dataset": {"path": "pairs.jsonl"}, "kl_coef": 0.05}


def card(folder, content):
    write_model_card(folder, parse_recipe(content, Path("recipe.yaml")), 20, {"data.jsonl": "0123456789abcdef"})
    return (folder / "README.md").read_text()


def test_a_card_of_acre_names_its_rewards_and_its_prompt(tmp_path):
    text = card(tmp_path, ACRE)
    assert "trained with **ACRE**" in text
    assert "arxiv.org/abs/2510.10104" in text
    assert "| rewards | 1 x answer_consistency, 0.2 x format |" in text
    assert "| prompt | `" in text
    assert "| data | data.jsonl (SHA-256 0123456789ab) |" in text
    assert "outside multiple choice" in text


def test_a_card_of_rrpo_names_its_settings_and_no_rewards(tmp_path):
    text = card(tmp_path, RRPO)
    assert (
        "**RRPO** ([Self-Alignment of Large Video Language Models with Refined Regularized Preference Optimization]"
        "(https://arxiv.org/abs/2504.12083))" in text
    )
    for line in ("| kl_coef | 0.05 |", "| spans | differing |", "| on_missing_spans | drop |", "| steps | 20 |"):
        assert line in text
    assert "| rewards |" not in text
    assert "| prompt |" not in text
    assert "multiple choice" not in text


def test_rrpo_with_its_settings_off_is_called_dpo(tmp_path):
    text = card(tmp_path, RRPO | {"spans": "whole", "kl_coef": 0.0})
    assert "trained with **DPO**" in text
    assert "2305.18290" in text
    assert "RRPO" not in text


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_card(method):
    assert method in CARDS
