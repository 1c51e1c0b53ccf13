"""The built-in rewards under the check, as users are."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from tried_rewards import Tried, try_all

from rewards.catalog import REWARDS

pytestmark = pytest.mark.slow

PHRASES = {"file": str(Path(__file__).with_name("phrases.txt"))}
SETTINGS = {"length": {"max_length": 1000, "margin": 100}, "math_accuracy": {"timeout": 5.0}, "phrases": PHRASES}
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


ROWS = tuple({"prompt": f"q{i}", "solution": gold, "answer": gold} for i, gold in enumerate(GOLDS))
NEEDS = {"math_accuracy": "math_verify", "reasoning_gym": "reasoning_gym"}


def needs_library(name):
    module = NEEDS.get(name, "rewards")
    return pytest.mark.skipif(find_spec(module) is None, reason=f"needs the package {module}")


PROGRAMS = (
    {"prompt": "add", "tests": ["assert add(1, 2) == 3"], "solution": "def add(a, b):\n    return a + b"},
    {"prompt": "neg", "tests": ["assert neg(2) == -2"], "solution": "def neg(a):\n    return -a"},
)
TRIED = {name: Tried(name, SETTINGS.get(name)) for name in REWARDS if name != "code_accuracy"}
TRIED["code_accuracy"] = Tried("code_accuracy", {"seconds": 1.0, "isolation": "none"}, rows=PROGRAMS, form="text")
ITEM = {"question": "gcd of 4 and 6?", "answer": "2", "metadata": {}}
GYM = ({"prompt": "gcd of 4 and 6?", "answer": "2", "task": "reasoning_gym:gcd", "entry": json.dumps(ITEM)},)
TRIED["reasoning_gym"] = Tried("reasoning_gym", rows=GYM * 2)
TRIED |= {
    form: Tried("math_accuracy", SETTINGS["math_accuracy"], rows=ROWS, form=form) for form in ("text", "messages")
}


@pytest.fixture(scope="module")
def found():
    tried = {key: each for key, each in TRIED.items() if find_spec(NEEDS.get(each.spec, "rewards"))}
    return dict(zip(tried, try_all(list(tried.values())), strict=True))


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs_library(name)) for name in REWARDS])
def test_nothing_is_found_in_a_built_in_reward(found, name):
    # A program takes as long to start as the machine is busy, which is said.
    assert [each for each in found[name] if name != "code_accuracy" or each.level == "error"] == []


@needs_library("math_accuracy")
@pytest.mark.parametrize("form", ["text", "messages"])
def test_math_answers_are_told_from_wrong_ones_in_either_form(found, form):
    assert found[form] == []
