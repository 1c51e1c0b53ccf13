"""What texts have that could give a label away: words, word pairs, how they begin and end, and how much of what."""

from array import array
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.auditing.words import COUNTS, Vocabulary, sizes

Numbers = NDArray[np.int64]
FEWEST = 20  # texts with a feature, below which no test could say much
EDGES = ("begins with", "ends with")


class Features(NamedTuple):
    """Which text has which feature, as pairs of numbers in no order, each pair once.

    Attributes:
        text: `(E,)` number of the text.
        feature: `(E,)` number of the feature.
        names: F names.
        types: F types: `word`, `word pair`, `begins with`, `ends with`.
        sizes: `(N, 8)` how much of each of `COUNTS` a text has.
    """

    text: Numbers
    feature: Numbers
    names: list[str]
    types: list[str]
    sizes: Numbers

    @property
    def num_texts(self) -> int:
        """Returns N."""
        return len(self.sizes)


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

    def features(self, kept: NDArray[np.bool_]) -> Features:
        """Finds the features that at least `FEWEST` of the texts have.

        Args:
            kept: `(N,)` which texts; the others have no features.
        """
        words = np.frombuffer(self._words, dtype=np.int32)
        lengths = np.frombuffer(self._lengths, dtype=np.int32)
        counted = np.frombuffer(self._sizes, dtype=np.int32).reshape(-1, len(COUNTS)).astype(np.int64)
        words = words[np.repeat(kept, lengths)].astype(np.int64)
        text = np.repeat(np.flatnonzero(kept), lengths[kept])
        num, names = max(1, len(self._vocabulary)), self._vocabulary.words()
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
    import pandas as pd

    numbered, uniques = pd.factorize(codes)
    enough = np.bincount(numbered, minlength=len(uniques)) >= FEWEST
    stays = enough[numbered]
    text, numbered = text[stays], numbered[stays]
    key = np.unique(text * max(1, len(uniques)) + numbered)  # a text counts once
    text, numbered = key // max(1, len(uniques)), key % max(1, len(uniques))
    enough = np.bincount(numbered, minlength=len(uniques)) >= FEWEST
    stays = enough[numbered]
    renumbered = np.cumsum(enough) - 1
    return text[stays], renumbered[numbered[stays]], np.asarray(uniques)[enough]
