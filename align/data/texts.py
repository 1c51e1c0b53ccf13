"""What can be seen of a text, and values that no text or column can hold."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from align.data.problems import BadRow

DEEPEST = 50  # lists and objects in each other
NOT_SEEN = ("Cc", "Cf", "Zl", "Zp", "Zs")
FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # letters and marks that show nothing
SELECTORS = "\ufe00-\ufe0f"  # of one of several shapes of the character before
# Joiners shape letters and emoji beside them; in front of them stands no ASCII then.
IGNORED = re.compile(
    f"[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff{FILLERS}{SELECTORS}]"
    "|(?<![^\x00-\x7f])[\u200c\u200d]"
)


def is_blank(text: str) -> bool:
    r"""Says whether a text shows nothing: no characters, whitespace, zero-width and control characters.

    Example:
        >>> is_blank(" \u200b\ufeff"), is_blank("\u200bno")
        (True, False)
    """
    return not any(
        unicodedata.category(character) not in NOT_SEEN and not IGNORED.match(character) for character in text.strip()
    )


def as_seen(text: str) -> str:
    r"""Writes a text in one way only: accents composed (NFC), and nothing in it that is not shown.

    Example:
        >>> as_seen("Cafe\u0301\u200b") == as_seen("Caf\u00e9")
        True
    """
    return text if text.isascii() else unicodedata.normalize("NFC", IGNORED.sub("", text))


def fold(text: str) -> str:
    """Writes a text as it is compared where case and spaces do not count."""
    return as_seen(" ".join(as_seen(text).split()).casefold())


def check_values(row: Mapping[str, Any]) -> None:
    """Checks that the values of a row are ones that files, tokenizers and tables can hold.

    Raises:
        BadRow: If a text holds half a character (a lone surrogate) or a NUL, or lists are nested too deeply.
    """
    for column, value in row.items():
        kind = type(value)
        if not column.isascii():
            _check_text(column, column)
        if kind is str:
            if not value.isascii() or "\0" in value:
                _check_text(column, value)
        elif kind is list or kind is dict:
            _check_nested(column, value, 1)


def _check_nested(column: str, value: Any, depth: int) -> None:
    if depth > DEEPEST:
        remedy = f"Write at most {DEEPEST} lists or objects in each other."
        raise BadRow(column, None, "the value is nested too deeply", remedy)
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                _check_text(column, key)
            _check_item(column, item, depth)
    else:
        for item in value:
            _check_item(column, item, depth)


def _check_item(column: str, item: Any, depth: int) -> None:
    if isinstance(item, str):
        _check_text(column, item)
    elif isinstance(item, list | tuple | dict):
        _check_nested(column, item, depth + 1)


def _check_text(column: str, text: str) -> None:
    if "\0" in text:
        raise BadRow(column, text, "a text holds a NUL character", "Remove it: write the text without \\u0000.")
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        rule = "a text holds half a character, a lone surrogate"
        remedy = f"Write the whole character, or remove {text[error.start]!r} at place {error.start} of the text."
        raise BadRow(column, text, rule, remedy) from error
