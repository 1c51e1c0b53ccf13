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
NEEDS = {"math_accuracy": ("math_verify", "math"), "reasoning_gym": ("reasoning_gym", "reasoning-gym")}


def needs_library(name):
    module, extra = NEEDS.get(name, ("rewards", ""))
    return pytest.mark.skipif(find_spec(module) is None, reason=f"needs the extra `{extra}`")


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

CHOICES = tuple({"prompt": f"q{i}", "options": ["tin", "oak", "silk"], "answer": i % 3} for i in range(4))
LETTERED = tuple({"prompt": f"q{i}", "answer": "ABC"[i % 3]} for i in range(4))
WORDS = tuple({"prompt": f"q{i}", "answer": word} for i, word in enumerate(("tin", "oak", "silk")))
SHOWN = tuple({**row, "options": ["tin", "oak", "silk"]} for row in LETTERED)
NOT_READ = {  # rewards on right answers that they cannot read, and what is said of those
    "choices": (CHOICES, "reads_no_gold", "indices into `options` (row 1: 0, which is A, 'tin')"),
    "letters": (LETTERED, "always_none", "are letters ('A', 'B', 'C') and no numbers: `accuracy` grades them, beside"),
    "shown": (SHOWN, "always_none", "are letters ('A', 'B', 'C') and no numbers: `accuracy` grades them."),
    "words": (WORDS, "always_none", "are texts without a number ('tin', 'oak', 'silk'): `text_accuracy` compares"),
}
TRIED |= {name: Tried("number_accuracy", rows=rows, form="text") for name, (rows, _, _) in NOT_READ.items()}
TRIED["right"] = Tried("accuracy", rows=CHOICES, form="text")


@pytest.fixture(scope="module")
def found():
    tried = {key: each for key, each in TRIED.items() if find_spec(NEEDS.get(each.spec, ("rewards",))[0])}
    return dict(zip(tried, try_all(list(tried.values())), strict=True))


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs_library(name)) for name in REWARDS])
def test_nothing_is_found_in_a_built_in_reward(found, name):
    # A program takes as long to start as the machine is busy, which is said.
    assert [each for each in found[name] if name != "code_accuracy" or each.level == "error"] == []


@pytest.mark.parametrize("name", NOT_READ)
def test_right_answers_that_a_reward_cannot_read_are_named_with_the_reward_that_can(found, name):
    (problem,) = found[name]
    _, kind, sentence = NOT_READ[name]
    assert (problem.kind, problem.level, sentence in problem.text) == (kind, "error", True), problem.text
    assert found["right"] == []


@needs_library("math_accuracy")
@pytest.mark.parametrize("form", ["text", "messages"])
def test_math_answers_are_told_from_wrong_ones_in_either_form(found, form):
    assert found[form] == []
