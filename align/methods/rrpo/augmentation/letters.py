"""Reads which options a response names by their letters."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from rewards.reading.options import LETTERS
from rewards.reading.traces import letter_mentions, text_mentions

# What is only for show; a tag ends a line, so that what it holds stands alone.
MARKUP = re.compile(r"[*_`$\"\u201c\u201d\u2018{}\[\]]|\\(?:boxed|text\w*|mathrm)\b|(?<!\w)['\u2019]|['\u2019](?!\w)")
TAG = re.compile(r"</?\w[\w-]*>")
NOUN = r"(?i:options?|choices?|answers?|alternatives?|letters?)"
# In either case: at the start of a line or alone on it, in brackets, and behind a noun where a clause ends.
READ = (
    re.compile(r"^[ \t>#\u2022-]*(?:\(\s*)?([A-Za-z])(?:\s*[.):](?!\w)|[ \t]*$)", re.MULTILINE),
    re.compile(r"(?<!\w)\(\s*([A-Za-z])\s*\)"),
    re.compile(rf"\b{NOUN}(?i:\s++is)?\s*+[:=]?\s*+([a-z])(?=\s*(?:[.,;:!?)]|$))", re.MULTILINE),
)
BOXED = re.compile(r"\\boxed\{\W*+(?:text\w*|mathrm)?\W*+([A-Za-z])\W*\}")
# A capital by itself. "A" before a word is an article, unless the word goes on about a letter; "I" is a pronoun.
LONE = re.compile(
    r"(?<![\w.'\u2019°&+#-])(?:[B-HJ-Z]|A(?![ \t]+[\w(])|A(?=[ \t]+(?:is|was|or|and|nor|but|because|since)\b)"
    r"|(?<=[a-z][ ])A(?=[ ][a-z]))(?![\w'\u2019+#-]|\.\w)"
)
DENIED_BEFORE = re.compile(
    rf"(?:(?:\bnot|n['\u2019]t|\brather than|\binstead of|\bexcept|\bunlike|\bneither|\bnor)\s+"
    rf"(?:(?:the|an?|{NOUN})\s+)*"
    rf"|\b(?:wrong|incorrect|false)\s+{NOUN}(?:\s+is)?\s*[:=]?\s*)\(?$",
    re.IGNORECASE,
)
DENIED_BEHIND = re.compile(
    r"\)?[.:]?\s*(?:is|was)(?:n['\u2019]t|\s+(?:not|never|wrong|incorrect|false))\b", re.IGNORECASE
)
NEAR = 60  # characters in front of a letter that may deny it


class NamedLetter(NamedTuple):
    """The letter of an option, in a response."""

    place: int  # of the character
    letter: str  # upper case
    is_read: bool  # named as an answer is; else it may mean something else, such as "vitamin C", or is denied


def named_letters(text: str, options: Sequence[str]) -> list[NamedLetter]:
    """Lists the letters of options that a response names, but for those that are part of an option's text.

    Example:
        >>> named_letters("A metal. The answer is (B) gold, not A.", ["iron", "gold"])
        [NamedLetter(place=24, letter='B', is_read=True), NamedLetter(place=37, letter='A', is_read=False)]
    """
    if not options:
        return []
    plain = MARKUP.sub(lambda found: " " * len(found[0]), TAG.sub(lambda found: "\n" * len(found[0]), text))
    read = {found.start(1) for pattern in READ for found in pattern.finditer(plain)}
    read |= {found.start(1) for found in BOXED.finditer(text)}
    read |= {_first_letter(plain, each.start) for each in letter_mentions(plain, len(options))}
    read |= {place for i, option in enumerate(options) for place in _before_its_text(plain, i, option)}
    lone = {found.start() for found in LONE.finditer(plain)}
    texts = [each for each in text_mentions(plain, options, overlapping=True) if each.end - each.start > 1]
    return [
        NamedLetter(place, text[place].upper(), place in read and not _is_denied(plain, place))
        for place in sorted(read | lone)
        if LETTERS.index(text[place].upper()) < len(options) and not any(t.start <= place < t.end for t in texts)
    ]


def _first_letter(text: str, start: int) -> int:
    return next(place for place in range(start, len(text)) if text[place].isalpha())


def _before_its_text(text: str, option: int, option_text: str) -> list[int]:
    """Finds where an option's letter and its text stand together: "A: gold", "a) gold"."""
    letter = LETTERS[option : option + 1]
    words = r"\s+".join(map(re.escape, option_text.split()))
    pattern = rf"(?<![\w'\u2019])({letter}|{letter.lower()})\s*[.):=\u2013\u2014-]\s*(?i:{words})(?!\w)"
    return [found.start(1) for found in re.finditer(pattern, text)] if letter else []


def _is_denied(text: str, place: int) -> bool:
    before = text[max(0, place - NEAR) : place]
    return DENIED_BEFORE.search(before) is not None or DENIED_BEHIND.match(text, place + 1) is not None
