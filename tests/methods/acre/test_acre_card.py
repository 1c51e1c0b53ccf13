from written_card import card

RECIPE = {
    "method": "acre",
    "model_name_or_path": "owner/base",
    "dataset": {"path": "questions.jsonl"},
    "reward_funcs": ["answer_consistency", "format"],
    "reward_weights": [1.0, 0.2],
}


def test_a_card_of_acre_names_its_rewards_and_its_prompt(tmp_path):
    text = card(tmp_path, RECIPE)
    assert "trained with **ACRE**" in text
    assert "arxiv.org/abs/2510.10104" in text
    assert "| rewards | 1 x answer_consistency, 0.2 x format |" in text
    assert "| prompt | `" in text
    assert "| data | data.jsonl (SHA-256 0123456789ab) |" in text
    assert "outside multiple choice" in text


def test_a_card_of_acre_on_texts_names_its_families(tmp_path):
    texts = {"families": [f"{tmp_path}/own.py:renamed", "distractor"], "answer_reward": "text_accuracy"}
    text = card(tmp_path, RECIPE | texts | {"audit_funcs": ["text_accuracy"]})
    assert "| prompts changed by | `renamed`, `distractor` |" in text
    assert "how answers hold under other changes of a prompt" in text
