"""A default that was chosen is a setting of a reward, whatever its name; rows that are made up leave it alone."""

from rewards.running.contract import LocalSubject, try_reward
from rewards.running.contract.signature import read_parameters


def brevity(completions, target=40, **kwargs):
    texts = [each if isinstance(each, str) else each[-1]["content"] for each in completions]
    return [-abs(len(text) - target) / target for text in texts]


def test_a_right_reward_with_a_setting_named_like_a_column_is_not_called_broken():
    assert try_reward(LocalSubject(brevity)).problems == []


def test_a_default_that_stands_for_a_missing_column_is_none():
    def reward(completions, target="", answer=(), gold=None, label="good", truth=0, **kwargs):
        return [0.0]

    assert read_parameters(reward).settings == ("label", "truth")
