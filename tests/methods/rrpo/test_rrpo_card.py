from written_card import card

RECIPE = {"method": "rrpo", "model_name_or_path": "owner/base", "dataset": {"path": "pairs.jsonl"}, "kl_coef": 0.05}


def test_a_card_of_rrpo_names_its_settings_and_no_rewards(tmp_path):
    text = card(tmp_path, RECIPE)
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
    text = card(tmp_path, RECIPE | {"spans": "whole", "kl_coef": 0.0})
    assert "trained with **DPO**" in text
    assert "2305.18290" in text
    assert "RRPO" not in text
