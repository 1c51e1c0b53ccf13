"""Rewards that give another value now and then: what is blamed for it, and how rarely they may."""

from pathlib import Path

import pytest
from tried_rewards import Tried, try_all

from rewards.catalog import resolve_reward
from rewards.running.contract import LocalSubject, rarest_seen, try_reward

RARELY = str(Path(__file__).parent / "broken_rewards" / "broken_behaviour.py:RarelyAnother")
SEEDS = range(20)


@pytest.fixture(scope="module")
def found():
    shares = {"1 of 1,000": {"share": 0.001}, "1 of 50": {"share": 0.02}, "raises": {"share": 0.002, "raises": True}}
    cases = {(name, seed): {"seed": seed} | kwargs for name, kwargs in shares.items() for seed in SEEDS}
    return dict(zip(cases, try_all([Tried(RARELY, kwargs) for kwargs in cases.values()]), strict=True))


@pytest.mark.slow
def test_a_value_that_changes_by_chance_is_blamed_on_nothing_else(found):
    problems = [found["1 of 1,000", seed] for seed in SEEDS]
    assert {tuple(problem.kind for problem in each) for each in problems} == {(), ("not_deterministic",)}
    texts = {problem.text for each in problems for problem in each}
    assert all(" and then " in text and "thread" not in text for text in texts)


@pytest.mark.slow
def test_an_error_that_comes_by_chance_is_blamed_on_nothing_else(found):
    texts = [problem.text for seed in SEEDS for problem in found["raises", seed]]
    assert sum("in one of several equal calls" in text for text in texts) > 3
    blamed = ("thread", "reverse", "of one completion", "as a ", "an empty")
    assert not any(word in text for text in texts for word in blamed)


@pytest.mark.slow
def test_what_is_said_to_be_seen_is_seen(found):
    seen = sum(bool(found["1 of 50", seed]) for seed in SEEDS)
    assert seen >= 0.95 * len(SEEDS)
    compared = try_reward(LocalSubject(resolve_reward(RARELY, {"seed": 0, "share": 0.0}))).num_compared
    assert rarest_seen(compared) < 0.02


def test_the_rarest_change_that_is_seen_by_hand():
    assert rarest_seen(1) == pytest.approx(0.95)
    assert rarest_seen(2) == pytest.approx(1 - 0.05**0.5)  # both miss with (1 - p)^2 = 0.05
    assert rarest_seen(0) == 1.0
