"""Which letter is right: of questions, and of prompts that show options and are answered by a letter."""

import re

from align.auditing.entry import Entry
from rewards.reading.options import BARE_LETTER, LETTERS
from rewards.reading.responses import parse_response

_LETTERED = re.compile(r"(?<![^\s(\[])([A-Z])[.):\]]\s*(?=\S)")


def shown_letters(text: str) -> int:
    r"""Counts the options that a text shows behind letters, the last ones from A on; 0 where there are fewer than two.

    Example:
        >>> [shown_letters(each) for each in ("Which?\nA. J. Iron\nB. gold", "(A) tin (B) gold (C) iron", "A. Li")]
        [2, 3, 0]
    """
    count = 0
    for letter in _LETTERED.findall(text):
        count = 1 if letter == "A" else count + (count > 0 and LETTERS[count % len(LETTERS)] == letter)
    return count if count > 1 else 0


def letter_of(entry: Entry, kind: str) -> tuple[int, int] | None:
    """Returns how many options a row shows and which is right; None where no letter says so."""
    if kind == "questions":
        return None if entry.gold is None else (len(entry.sides), entry.gold)
    if kind not in ("prompts", "sft") or not (count := shown_letters(entry.prompt)):
        return None
    said = entry.label if kind == "prompts" else parse_response(entry.sides[0]).answer or entry.sides[0]
    found = BARE_LETTER.fullmatch((said or "").strip())
    place = LETTERS.index((found[1] or found[2]).upper()) if found else count
    return (count, place) if place < count else None
