import pytest
from tiny import tiny_reward_model, tiny_tokenizer
from transformers.integrations import HfDeepSpeedConfig, is_deepspeed_zero3_enabled

from align import load_reward_model, whole_weights
from align.models.reward_model import RewardModel


@pytest.fixture
def under_zero3():
    pytest.importorskip("deepspeed", reason="needs the extra `deepspeed`")
    return HfDeepSpeedConfig({"zero_optimization": {"stage": 3}, "train_micro_batch_size_per_gpu": 1})


def test_weights_are_whole_inside_and_split_again_outside(under_zero3):
    assert is_deepspeed_zero3_enabled()
    with whole_weights():
        assert not is_deepspeed_zero3_enabled()
    with pytest.raises(KeyError), whole_weights():
        raise KeyError
    assert is_deepspeed_zero3_enabled()


def test_a_reward_model_scores_as_without_zero3(tmp_path, under_zero3):
    tokenizer = tiny_tokenizer()
    with whole_weights():
        tiny_reward_model(vocabulary=len(tokenizer)).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        plain = RewardModel.load(tmp_path, device="cpu").score(["q?"], ["a"])
    model = load_reward_model(tmp_path, device="cpu")
    assert model.score(["q?"], ["a"]).tolist() == plain.tolist()
