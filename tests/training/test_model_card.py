from pathlib import Path

import pytest

from align.methods import METHODS
from align.recipe.recipe import parse_recipe
from align.training.model_card import write_model_card

ACRE = {
    "method": "acre",
    "model_name_or_path": "owner/base",
    "dataset": {"path": "questions.jsonl"},
    "reward_funcs": ["answer_consistency", "format"],
    "reward_weights": [1.0, 0.2],
}
RRPO = {"method": "rrpo", "model_name_or_path": "owner/base", "dataset": {"path": "pairs.jsonl"}, "kl_coef": 0.05}


CROME = {"method": "crome", "model_name_or_path": "owner/base", "dataset": {"path": "pairs.jsonl"}}
PREFERENCE = {"prompt": "q?", "source": "preference", "tie": False}
EDIT, TIE = PREFERENCE | {"source": "upgrade"}, PREFERENCE | {"source": "irrelevant_query", "tie": True}


def card(folder, content, rows=()):
    recipe = parse_recipe(content, Path("recipe.yaml"))
    write_model_card(folder, recipe, 20, {"data.jsonl": "0123456789abcdef"}, rows)
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


def test_a_card_of_crome_counts_its_pairs_and_says_what_rewards_do_not_show(tmp_path):
    text = card(tmp_path, CROME, [PREFERENCE, PREFERENCE, EDIT, TIE])
    assert "trained with **Crome** ([Robust Reward Modeling via Causal Rubrics]" in text
    for line in ("| pairs | 2 preference, 1 upgrade, 1 irrelevant_query (ties) |", "| tie_coef | 1.0 |"):
        assert line in text
    assert "- reward-model\n" in text
    assert "a policy trained on its rewards gets better" in text
    assert "AutoModelForCausalLM" not in text


@pytest.mark.parametrize(("model_type", "call"), [("scalar", "model.score("), ("pairwise", "model.margins(")])
def test_a_card_of_crome_shows_how_its_type_of_model_is_asked(tmp_path, model_type, call):
    text = card(tmp_path, CROME | {"model_type": model_type}, [EDIT])
    assert call in text
    assert ("AutoModelForSequenceClassification" in text) == (model_type == "scalar")


@pytest.mark.parametrize(
    ("rows", "settings", "name"),
    [
        ([PREFERENCE], {}, "Bradley-Terry"),
        ([PREFERENCE, TIE], {"tie_coef": 0}, "Bradley-Terry"),
        ([PREFERENCE, TIE], {}, "Crome"),
        ([PREFERENCE, EDIT], {"tie_coef": 0}, "Crome"),
    ],
)
def test_a_reward_model_that_saw_no_edit_and_learnt_no_tie_is_called_bradley_terry(tmp_path, rows, settings, name):
    assert f"trained with **{name}**" in card(tmp_path, CROME | settings, rows)


PARTS = ("dataset", "rules", "load", "check", "check_batch", "footprint", "build", "card", "report", "sample_pairs",
         "augment", "augment_options", "extras", "check_rewards", "reward_columns")  # fmt: skip


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_part_that_a_method_names_is_there(method):
    for name in PARTS:
        assert (method.part(name) is None) == (getattr(method, name) is None)
