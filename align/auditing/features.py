"""What texts have that could give a label away: words, word pairs, how they begin and end, and how much of what.

A word is one by the rule of the spans, also where a language has no spaces, or runs right to left.
"""

import re
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from align.auditing.significance import Flags, Numbers
from align.data.pairs.spans import WORD
from align.data.texts import as_seen

FEWEST = 20  # texts with a feature, below which no test could say much
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
        self[word] = number = len(self)
        return number

    def numbers(self, text: str) -> list[int]:
        """Splits a text and numbers its words; case does not count.

        Example:
            >>> Vocabulary().numbers("The red, the 紅色"), len(Vocabulary().numbers("مرحبا بك"))
            ([0, 1, 2, 0, 3, 4], 2)
        """
        return list(map(self.__getitem__, split(text)))


def split(text: str) -> Sequence[str]:
    """Splits a text into words and other visible characters, in lower case."""
    if text.isascii():
        return ASCII_WORD.findall(text.lower())
    return WORD.findall(as_seen(text).casefold())


def sizes(text: str) -> tuple[int, ...]:
    r"""Counts what a text has of everything in `COUNTS`.

    Example:
        >>> sizes("Why?\n- **a** is `b`!")
        (20, 2, 1, 1, 1, 0, 1, 1)
    """
    return (
        len(text),
        1 + text.count("\n"),
        len(BULLET.findall(text)),
        len(BOLD.findall(text)),
        len(CODE.findall(text)) if "`" in text else 0,
        len(DIGIT.findall(text)),
        sum(map(text.count, QUESTION_MARKS)),
        sum(map(text.count, EXCLAMATION_MARKS)),
    )


class Features(NamedTuple):
    """Which text has which feature, as pairs of numbers in no order, each pair once."""

    text: Numbers  # `(E,)` number of the text
    feature: Numbers  # `(E,)` number of the feature
    names: list[str]  # F
    types: list[str]  # F: `word`, `word pair`, `begins with`, `ends with`
    sizes: Numbers  # `(N, 8)` how much of each of `COUNTS` a text has

    def beside(self, more: Iterable[tuple[str, str, Numbers]]) -> "Features":
        """Adds features: the name and the type of each, and the texts that have it."""
        found, names, types = [(self.text, self.feature)], list(self.names), list(self.types)
        for name, kind, having in more:
            found.append((having, np.full(len(having), len(names))))
            names.append(name)
            types.append(kind)
        text, feature = (np.concatenate(each) for each in zip(*found, strict=True))
        return self._replace(text=text, feature=feature, names=names, types=types)


def is_length(names: Sequence[str], types: Sequence[str]) -> Flags:
    """Says which features are the length itself, which no test at one length can speak of."""
    both = zip(names, types, strict=True)
    return np.array([name.endswith(COUNTS[0]) and kind == "count" for name, kind in both], dtype=bool)


class Texts:
    """Takes texts up one by one, as the numbers of their words."""

    def __init__(self) -> None:
        self._vocabulary = Vocabulary()
        self._words = array("i")
        self._lengths = array("i")
        self._sizes = array("i")

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def num_words(self) -> int:
        """Returns how many words all texts have."""
        return len(self._words)

    def add(self, text: str) -> None:
        """Takes a text up."""
        numbers = self._vocabulary.numbers(text)
        self._words.extend(numbers)
        self._lengths.append(len(numbers))
        self._sizes.extend(sizes(text))

    def features(self, kept: Flags) -> Features:
        """Finds the features that at least `FEWEST` of the texts that are kept, `(N,)`, have; the others have none."""
        words = np.frombuffer(self._words, dtype=np.int32)
        lengths = np.frombuffer(self._lengths, dtype=np.int32)
        counted = np.frombuffer(self._sizes, dtype=np.int32).reshape(-1, len(COUNTS)).astype(np.int64)
        words = words[np.repeat(kept, lengths)].astype(np.int64)
        text = np.repeat(np.flatnonzero(kept), lengths[kept])
        num, names = max(1, len(self._vocabulary)), list(self._vocabulary)
        follows = text[1:] == text[:-1]
        pairs = words[:-1][follows] * num + words[1:][follows]
        first = np.flatnonzero(np.r_[True, ~follows]) if len(text) else np.zeros(0, dtype=np.int64)
        last = np.flatnonzero(np.r_[~follows, True]) if len(text) else first
        longer = last > first  # texts with two words
        begins, ends = first[longer], last[longer]
        found = [
            ("word", text, words, False),
            ("word pair", text[1:][follows], pairs, True),
            ("begins with", text[first], words[first], False),
            ("begins with", text[begins], words[begins] * num + words[begins + 1], True),
            ("ends with", text[last], words[last], False),
            ("ends with", text[ends], words[ends - 1] * num + words[ends], True),
        ]
        columns: list[tuple[Numbers, Numbers]] = []
        labels: list[str] = []
        types: list[str] = []
        for kind, where, codes, is_pair in found:
            at, number, kept_codes = _frequent(where, codes)
            columns.append((at, number + len(labels)))
            labels += [
                f"{names[code // num]} {names[code % num]}" if is_pair else names[code] for code in kept_codes.tolist()
            ]
            types += [kind] * len(kept_codes)
        at, number = (np.concatenate(each) for each in zip(*columns, strict=True))
        return Features(at, number, labels, types, counted)


def _frequent(text: Numbers, codes: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Keeps codes that enough texts have, and numbers them."""
    uniques, firsts, numbered = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(firsts)  # as they are met
    uniques, numbered = uniques[order], np.argsort(order)[numbered]
    enough = np.bincount(numbered, minlength=len(uniques)) >= FEWEST
    stays = enough[numbered]
    text, numbered = text[stays], numbered[stays]
    key = np.unique(text * max(1, len(uniques)) + numbered)  # a text counts once
    text, numbered = key // max(1, len(uniques)), key % max(1, len(uniques))
    enough = np.bincount(numbered, minlength=len(uniques)) >= FEWEST
    stays = enough[numbered]
    renumbered = np.cumsum(enough) - 1
    return text[stays], renumbered[numbered[stays]], np.asarray(uniques)[enough]
