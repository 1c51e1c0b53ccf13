import pytest
from written_card import card

RECIPE = {"method": "crome", "model_name_or_path": "owner/base", "dataset": {"path": "pairs.jsonl"}}
PREFERENCE = {"prompt": "q?", "source": "preference", "tie": False}
EDIT, TIE = PREFERENCE | {"source": "upgrade"}, PREFERENCE | {"source": "irrelevant_query", "tie": True}


def test_a_card_of_crome_counts_its_pairs_and_says_what_rewards_do_not_show(tmp_path):
    text = card(tmp_path, RECIPE, [PREFERENCE, PREFERENCE, EDIT, TIE])
    assert "trained with **Crome** ([Robust Reward Modeling via Causal Rubrics]" in text
    for line in ("| pairs | 2 preference, 1 upgrade, 1 irrelevant_query (ties) |", "| tie_coef | 1.0 |"):
        assert line in text
    assert "- reward-model\n" in text
    assert "a policy trained on its rewards gets better" in text
    assert "AutoModelForCausalLM" not in text


@pytest.mark.parametrize(("model_type", "call"), [("scalar", "model.score("), ("pairwise", "model.margins(")])
def test_a_card_of_crome_shows_how_its_type_of_model_is_asked(tmp_path, model_type, call):
    text = card(tmp_path, RECIPE | {"model_type": model_type}, [EDIT])
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
    assert f"trained with **{name}**" in card(tmp_path, RECIPE | settings, rows)
