"""The built-in rewards under the check, as users are."""

import pytest

from rewards.catalog import REWARDS, resolve_reward
from rewards.running.contract import LocalSubject, Settings, try_reward

SETTINGS = {"length": {"max_length": 1000, "margin": 100}, "math_accuracy": {"timeout": 5.0}}
# Right answers that math-verify reads in several ways, or with effort.
GOLDS = (
    r"\frac{1}{3}",
    "1,000",
    r"2\sqrt{3}",
    r"x^2 + 2x + 1",
    r"50\%",
    r"\{1, 2\}",
    r"\left(0, 1\right]",
    "-7",
    r"\pi",
)


def problems_of(name, **settings):
    return try_reward(LocalSubject(resolve_reward(name, SETTINGS.get(name))), Settings(**settings)).problems


@pytest.mark.parametrize("name", REWARDS)
def test_nothing_is_found_in_a_built_in_reward(name):
    if name == "math_accuracy":
        pytest.importorskip("math_verify")
    assert problems_of(name) == []


@pytest.mark.parametrize("form", ["text", "messages"])
def test_math_answers_are_told_from_wrong_ones_in_either_form(form):
    pytest.importorskip("math_verify")
    rows = [{"prompt": f"q{i}", "solution": gold, "answer": gold} for i, gold in enumerate(GOLDS)]
    assert problems_of("math_accuracy", rows=rows, form=form) == []
