"""What a reward calls its settings and methods is its own affair: a name makes no column of one, and no judge."""

from tried_rewards import Tried, try_all

from rewards.catalog import resolve_reward
from rewards.running.contract.signature import read_parameters
from rewards.running.protocol import asks_a_model


def brevity(completions, target=40, **kwargs):
    texts = [each if isinstance(each, str) else each[-1]["content"] for each in completions]
    return [-abs(len(text) - target) / target for text in texts]


class Mean:
    __name__ = "mean"

    def estimate(self, texts):
        return [len(text) / 40 for text in texts]

    def __call__(self, completions, **kwargs):
        return self.estimate([each if isinstance(each, str) else each[-1]["content"] for each in completions])


def test_a_setting_named_like_a_column_and_a_method_named_estimate_are_not_called_broken():
    specs = [f"{__file__}:brevity", f"{__file__}:Mean"]
    assert try_all([Tried(spec) for spec in specs]) == [[], []]
    assert not any(asks_a_model(resolve_reward(spec)) for spec in specs), "one that asks a model is called once"


def test_a_default_that_stands_for_a_missing_column_is_none():
    def reward(completions, target="", answer=(), gold=None, label="good", truth=0, **kwargs):
        return [0.0]

    assert read_parameters(reward).settings == ("label", "truth")
