"""Values that people write by accident, and those that break parsers."""

import random
from typing import Any

NUMBERS = [0, 1, -1, 2, 3, 7, 10**18, 2**63, -(2**63) - 1, 10**30, 0.0, 0.5, -0.5, 1e30, 1e308, -1e308]
NUMBERS += [float("nan"), float("inf"), float("-inf")]
NUMERALS = ["1e-6", "1" * 5_000, "0x10", "1_0", "1:30", "1e400", "-.inf", "nan", "NaN", "2026-02-30", "9" * 400]
CHARACTERS = ["\u200b", "\x85", "é", "e\u0301", "😀", "🏴\u200d", "\x1b[31m", "\x1b[2J", "\0", "\u2028", "\u202e", "ﬁ"]
WORDS = ["", " ", "x", "a b", "none", "null", "all", "auto", "no", "best", "trained", "format", "accuracy", "cosine"]
WORDS += [
    "./x",
    "../../x",
    "/",
    "a/b",
    "~",
    "./own.py:f",
    "owner/name:subset",
    "{question} {options}",
    "{",
    "{0}",
    "%s",
]
WORDS += [
    '{"a": 1}',
    "[1]",
    '["a"',
    "*",
    "&",
    "!!",
    "@",
    "\\",
    '"',
    "--x",
    "<MASK>",
    "</MASK>",
    "<image>",
    "x" * 3_000,
]
ATOMS: list[Any] = [None, True, False, *NUMBERS, *NUMERALS, *CHARACTERS, *WORDS]
KEYS = [
    "a",
    "path",
    "eval_path",
    "min_lr",
    "num_cycles",
    "top_p",
    "temperature",
    "dtype",
    "use_reentrant",
    "x y",
    "é",
    "",
]
KEYS += ["role", "content", "text", "label", "bytes", "type", "\0", "\x1b"]


def odd_value(rng: random.Random, depth: int = 0) -> Any:
    """Draws an odd value, or a list or mapping of some."""
    kind = rng.random()
    if depth > 2 or kind < 0.7:
        return rng.choice(ATOMS)
    if kind < 0.85:
        return [odd_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(KEYS): odd_value(rng, depth + 1) for _ in range(rng.randrange(4))}


def nested(rng: random.Random, depth: int) -> Any:
    """Draws a value in lists and mappings, one in the other."""
    value: Any = rng.choice([1, "a"])
    for _ in range(depth):
        value = [value] if rng.random() < 0.7 else {"a": value}
    return value
