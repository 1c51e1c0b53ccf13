"""What can be seen of a text, and values that no text or column can hold."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from align.data.problems import BadRow

LONGEST = 10_000_000  # characters of a text; no model reads so many, and tokenizers take a hundred bytes for each
DEEPEST = 50  # lists and objects in each other
NOT_SEEN = ("Cc", "Cf", "Zl", "Zp", "Zs")
FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # letters and marks that show nothing
SELECTORS = "\ufe00-\ufe0f"  # of one of several shapes of the character before
IGNORED = re.compile(
    f"[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff{FILLERS}{SELECTORS}]"
)
JOINERS = re.compile("(?<=[^\x00-\x7f])[\u200c\u200d]")  # they shape letters and emoji, which are not ASCII


def is_blank(text: str) -> bool:
    r"""Says whether a text shows nothing: no characters, whitespace, zero-width and control characters.

    Example:
        >>> is_blank(" \u200b\ufeff"), is_blank("\u200bno")
        (True, False)
    """
    if "!" <= text[:1] <= "~":
        return False
    return all(unicodedata.category(character) in NOT_SEEN or IGNORED.match(character) for character in text)


def as_seen(text: str) -> str:
    r"""Writes a text in one way only: accents composed (NFC), and nothing in it that is not shown.

    Example:
        >>> as_seen("Cafe\u0301\u200b") == as_seen("Caf\u00e9")
        True
    """
    if text.isascii():
        return text
    if IGNORED.search(text):
        kept = {joiner.start() for joiner in JOINERS.finditer(text)}
        text = "".join(c for i, c in enumerate(text) if i in kept or not IGNORED.match(c))
    return unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """Writes a text as it is compared where case and spaces do not count."""
    if text.isascii():
        return " ".join(text.lower().split())
    return as_seen(" ".join(as_seen(text).split()).casefold())


def count_shared(*texts: Any) -> int:
    """Counts the tokens, or characters, that all texts begin with.

    Example:
        >>> count_shared([1, 2, 3], [1, 2, 4], [1, 2]), count_shared("iron", "irony")
        (2, 4)
    """
    first, last = min(texts), max(texts)  # in the order of a dictionary: what these share, all share
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))


def check_values(row: Mapping[str, Any]) -> None:
    """Refuses what files, tokenizers and tables cannot hold: half a character, a NUL, long texts, deep lists."""
    for column, value in row.items():
        _check(column, column, 0)
        _check(column, value, 0)


def _check(column: str, value: Any, depth: int) -> None:
    if isinstance(value, str):
        if "\0" in value or not value.isascii() or len(value) > LONGEST:
            _check_text(column, value)
    elif isinstance(value, list | tuple | dict):
        if depth >= DEEPEST:
            remedy = f"Write at most {DEEPEST} lists or objects in each other."
            raise BadRow(column, None, "the value is nested too deeply", remedy)
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            _check(column, item, depth + 1)


def _check_text(column: str, text: str) -> None:
    if "\0" in text:
        raise BadRow(column, text, "a text holds a NUL character", "Remove it: write the text without \\u0000.")
    if len(text) > LONGEST:
        rule = f"a text has {len(text):,} characters, more than the {LONGEST:,} that are read"
        raise BadRow(column, text, rule, "Divide it into several rows, or leave it out.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        rule = "a text holds half a character, a lone surrogate"
        remedy = f"Write the whole character, or remove {text[error.start]!r} at place {error.start} of the text."
        raise BadRow(column, text, rule, remedy) from error
