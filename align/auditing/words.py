"""Words of a text as numbers, by the rule of the spans: also where a language has no spaces, or runs right to left."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from align.data.pairs.spans import WORD
from align.data.texts import as_seen

ASCII_WORD = re.compile(r"\w+|[^\w\s]")  # what `WORD` finds in ASCII, several times as fast
BULLET = re.compile(r"^[ \t]*(?:[-*+•]|\d+[.)])[ \t]+\S", re.MULTILINE)
BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
CODE = re.compile(r"`[^`\n]+`|^```", re.MULTILINE)
DIGIT = re.compile(r"\d")
QUESTION_MARKS = ("?", "\uff1f", "\u061f")  # also of full width, and Arabic
EXCLAMATION_MARKS = ("!", "\uff01")
COUNTS = ("characters", "lines", "bullets", "bold phrases", "pieces of code", "digits", "question marks",
          "exclamation marks")  # fmt: skip


class Vocabulary(dict[str, int]):
    """Numbers words in the order in which they are first met."""

    def __missing__(self, word: str) -> int:
        """Numbers a new word."""
        self[word] = number = len(self)
        return number

    def numbers(self, text: str) -> list[int]:
        """Splits a text and numbers its words; case does not count.

        Example:
            >>> Vocabulary().numbers("The red, the 紅色"), len(Vocabulary().numbers("مرحبا بك"))
            ([0, 1, 2, 0, 3, 4], 2)
        """
        return list(map(self.__getitem__, split(text)))

    def words(self) -> list[str]:
        """Lists the words by their number."""
        return list(self)


class Sizes(NamedTuple):
    """How much of each of `COUNTS` a text has."""

    characters: int
    lines: int
    bullets: int
    bold: int
    code: int
    digits: int
    questions: int
    exclamations: int


def split(text: str) -> Sequence[str]:
    """Splits a text into words and other visible characters, in lower case."""
    if text.isascii():
        return ASCII_WORD.findall(text.lower())
    return WORD.findall(as_seen(text).casefold())


def sizes(text: str) -> Sizes:
    r"""Counts what a text has of everything in `COUNTS`.

    Example:
        >>> sizes("Why?\n- **a** is `b`!")
        Sizes(characters=20, lines=2, bullets=1, bold=1, code=1, digits=0, questions=1, exclamations=1)
    """
    return Sizes(
        len(text),
        1 + text.count("\n"),
        len(BULLET.findall(text)),
        len(BOLD.findall(text)),
        len(CODE.findall(text)) if "`" in text else 0,
        len(DIGIT.findall(text)),
        sum(map(text.count, QUESTION_MARKS)),
        sum(map(text.count, EXCLAMATION_MARKS)),
    )
