"""TRL's own reward functions under the check."""

import pytest

from rewards.catalog import resolve_reward
from rewards.running.contract import LocalSubject, Settings, try_reward

pytestmark = pytest.mark.slow

# Settings, and what is found when it is not known whether prompts are texts or messages.
REWARDS = {
    "think_format_reward": ({}, ["one_form"]),
    "get_soft_overlong_punishment": ({"max_completion_len": 1000, "soft_punish_cache": 100}, []),
    "get_repetition_penalty_reward": ({}, []),
}
VERIFIED = {
    "accuracy_reward": ({}, []),
    "reasoning_accuracy_reward": ({}, []),
    "get_cosine_scaled_reward": ({"max_len": 1000}, []),
}


def found_in(name, kwargs, **settings):
    reward = resolve_reward(f"trl.rewards.{name}", kwargs)
    return try_reward(LocalSubject(reward), Settings(**settings)).problems


@pytest.mark.parametrize("name", REWARDS)
def test_rewards_of_trl_read_messages(name):
    kwargs, kinds = REWARDS[name]
    problems = found_in(name, kwargs)
    assert [problem.kind for problem in problems] == kinds
    assert found_in(name, kwargs, form="messages") == []
    if kinds:
        assert [problem.kind for problem in found_in(name, kwargs, form="text")] == ["raises"]
        assert "as texts it raised TypeError" in problems[0].problem


@pytest.mark.parametrize("name", VERIFIED)
def test_rewards_that_use_math_verify(name):
    pytest.importorskip("math_verify", reason="needs the extra `math`")
    kwargs, kinds = VERIFIED[name]
    problems = found_in(name, kwargs, form="messages", max_seconds=600.0)  # on a busy machine, too
    assert [problem.kind for problem in problems] == kinds
    hurried = found_in(name, kwargs, form="messages", max_seconds=1e-6)
    assert [problem.kind for problem in hurried] == ["few_samples", *kinds], "right answers are tried all the same"
