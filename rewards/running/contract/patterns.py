"""Texts that a regular expression matches, written from it."""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from re import _parser  # type: ignore[attr-defined]  # nothing public reads an expression
from typing import Any

MANY = "\0"  # as a fill: the signs of a class in turn, again and again
MOST_PATTERNS = 12  # that are tried
MOST = 500  # times that a part of a pattern is written
_ANYTHING, _OPEN = ("any", "not_literal"), ("negate", "word", "not_space")
_OF_CLASS = {"category_digit": "1", "category_word": "a", "category_space": " ", "category_not_space": "a"}


def patterns(literals: Iterable[object]) -> list[str]:
    """Lists the regular expressions among the literals of some code."""
    return [each for each in literals if isinstance(each, str) and is_pattern(each)]


@cache
def matching(pattern: str, fill: str = "") -> str:
    """Writes a text that a regular expression matches, `fill` where anything may stand; "" if it cannot.

    Example:
        >>> matching(r"<b>(.*?)</b> is (yes|no)", "tea"), matching("It is (TRUE|FALSE)", "False")
        ('<b>tea</b> is yes', 'It is FALSE')
    """
    try:
        parsed = _parser.parse(pattern)
        texts = (_write(parsed, fill, kinds) for kinds in ((*_OPEN, "digit"), _OPEN))
        text = next((text for text in texts if re.search(pattern, text, re.DOTALL)), "")
        return text.replace(MANY, "a")
    except (re.error, TypeError, ValueError, IndexError, RecursionError, OverflowError, MemoryError):
        return ""


_FORMS = (
    "It may be so.\n\nOr it may not.\n\nSo it is both.", "Is it so?", "one line\nanother line\nand a third one",
    "# Why\n\n- **one**\n- *two*\n\n## How\n\n1. `three`\n2. four\n\n## What\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    '{"name": "a", "answer": 1}', '[{"name": "a"}]', "```python\ndef solve(x):\n    return x + 1\n```",
    " ".join(["It may be so."] * 30), "IT IS SO!", "Yes", "It is so [1], and so [2].",
)  # fmt: skip
_MOST_TEXTS, _LONGEST = 40, 2000


def own_texts(literals: Sequence[str | float]) -> list[str]:
    r"""Writes texts in the forms that policies write, and with the words, patterns and lengths that some code names.

    Example:
        >>> own_texts(["Sources:", 3])[-5:]
        ['Sources:', 'Sources: It is so.', 'Sources:\nSources:\nSources:', '{"Sources:": 1}', 'so so so so']
    """
    words = [matching(each, "a") if is_pattern(each) else each for each in literals if isinstance(each, str)]
    words = list(dict.fromkeys(filter(None, words)))[:_MOST_TEXTS]
    sizes = {round(each) + 1 for each in literals if not isinstance(each, str) and 2 <= each <= _LONGEST}
    texts = [text for each in words for text in (each, f"{each} It is so.", "\n".join([each] * 3))]
    return [*_FORMS, *texts, json.dumps(dict.fromkeys(words, 1)), *(" ".join(["so"] * each) for each in sorted(sizes))]


def in_pattern(pattern: str, right: str) -> str:
    """Writes a right answer where a pattern reads one; "" if there is no place for it."""
    has_braces = right.startswith("{") and r"\{" in pattern
    text = matching(pattern, right.strip("{}") if has_braces else right)
    return text if right.casefold() in text.casefold() else ""


def _write(parsed: Any, fill: str, kinds: Sequence[str]) -> str:
    def one(node: tuple[Any, Any]) -> str:
        name, value = str(node[0]).lower(), node[1]
        if name in ("literal", "range"):
            return chr(value[0] if name == "range" else value)
        if name in _ANYTHING:
            return "a" if name == "any" or value != ord("a") else "b"
        if name == "category":
            return _OF_CLASS.get(str(value).lower(), ".")
        if name == "in":
            return one(value[0]) if str(value[0][0]).lower() != "negate" else "a"
        if name == "branch":
            texts = [_write(each, fill, kinds) for each in value[1]]
            return next((each for each in texts if each and each.casefold() == fill.casefold()), texts[0])
        if name.endswith("_repeat"):
            least, _, again = value
            if fill == MANY and (signs := _signs(again)):
                return signs * 20
            is_filled = fill and _is_open(again, kinds) and least <= len(fill)
            return fill if is_filled else _write(again, fill, kinds) * min(least, MOST)
        if name in ("subpattern", "atomic_group"):
            return _write(value[-1] if name == "subpattern" else value, fill, kinds)
        return _write(value[1], fill, kinds) if name == "assert" and value[0] > 0 else ""

    return "".join(map(one, parsed))


def _signs(parsed: Any) -> str:
    """Returns the signs of a class that lists some."""
    members = parsed[0][1] if len(parsed) == 1 and str(parsed[0][0]).lower() == "in" else ()
    found = "".join(chr(value) for name, value in members if str(name).lower() == "literal" and chr(value).isalpha())
    return found if len(found) > 1 else ""


def _is_open(parsed: Any, kinds: Sequence[str]) -> bool:
    """Tells whether any text can stand where a part of a pattern is repeated, and not a sign or a space."""
    name, value = (str(each).lower() for each in parsed[0]) if len(parsed) == 1 else ("", "")
    return name in _ANYTHING or (name == "in" and any(each in value for each in kinds))


def is_pattern(text: str) -> bool:
    """Tells a regular expression from words."""
    return re.search(r"\\[a-zA-Z]|[*+?\])][*+?)]|\[[^\]]+\]|\.[*+]|\^|\$$", text) is not None
