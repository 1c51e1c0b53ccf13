from tiny import tiny_reward_model, tiny_tokenizer

from align.models.reward_model import RewardModel
from align.training.guarded_rewards import reward_tokenizer


def test_plain_texts_reach_a_reward_model_as_in_its_training(tmp_path):
    tiny_tokenizer().save_pretrained(tmp_path)
    tokenizer = reward_tokenizer(str(tmp_path), conversational=False)
    settings = {"return_tensors": "pt", "padding": True, "padding_side": "right", "add_special_tokens": False}  # TRL
    found = tokenizer(text=["q0?Yes", "q1?No, never", "q2?So<eos>"], **settings)
    model = RewardModel(tiny_reward_model(), tiny_tokenizer())
    rows = [("q0?", "Yes"), ("q1?", "No, never"), ("q2?", "So")]
    for ids, mask, row in zip(found["input_ids"], found["attention_mask"], rows, strict=True):
        assert ids[mask.bool()].tolist() == list(model._tokens(*row))
    assert tokenizer.pad_token_id == 0


def test_messages_end_as_the_template_says(tmp_path):
    tiny_tokenizer().save_pretrained(tmp_path)
    tokenizer = reward_tokenizer(str(tmp_path), conversational=True)
    assert tokenizer(text=["user: a\n"])["input_ids"] == tiny_tokenizer()(["user: a\n"])["input_ids"]
