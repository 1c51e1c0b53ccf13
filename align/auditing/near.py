"""Rows that are nearly the same: MinHash-LSH finds candidates, and the exact Jaccard index decides."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.auditing.entry import Entry
from align.auditing.features import Vocabulary
from rewards.extras import missing

JACCARD = 0.8
SHINGLE = 5  # words
NUM_PERM = 128
BANDS = (21, 6)  # a pair of rows at 0.8 becomes a candidate with a chance of 0.998
SEED = 1
ENOUGH = 10  # evaluation rows that a row is found near, of those that are found near others too

Shingles = NDArray[np.uint64]


class Near(NamedTuple):
    """A row and the one that it is nearly the same as."""

    row: int
    other: int
    jaccard: float


def why_not() -> str:
    """Returns the sentence for a machine where near rows cannot be looked for; empty where they can."""
    return missing("audit", "Looking for rows that are nearly the same", "datasketch")


class NearRows:
    """Finds rows whose word 5-grams are those of another row, but for a few.

    A row that is near an earlier one stands for no others, so that a thousand copies cost a thousand comparisons. Of
    rows for evaluation all stand for themselves, since a row that is near one need not be near a copy of it; what
    copies of both cost grows with their sum.
    """

    def __init__(self) -> None:
        from datasketch import MinHash, MinHashLSH

        self._empty = MinHash(num_perm=NUM_PERM, seed=SEED, hashfunc=_same)
        self._index, self._held_out = (
            MinHashLSH(threshold=JACCARD, num_perm=NUM_PERM, params=BANDS) for _ in range(2)
        )
        self._kept: dict[int, Shingles] = {}
        self._measured: dict[int, Shingles] = {}
        self._vocabulary = Vocabulary()
        self._seen: dict[bytes, int] = {}
        self.leaks: dict[int, Near] = {}  # by row for training, the evaluation row that it is nearest to
        self.leaked: dict[int, Near] = {}  # by evaluation row, the row for training that is nearest to it

    def hold_out(self, number: int, entry: Entry) -> None:
        """Takes a row for evaluation up, before those for training."""
        self._measured[number] = shingles = self._shingles(entry)
        self._held_out.insert(number, self._sketch(shingles), check_duplication=False)

    def add(self, number: int, entry: Entry) -> Near | None:
        """Takes a row up, unless it is near one that was; equal rows are not near ones."""
        shingles = self._shingles(entry)
        if (first := self._seen.setdefault(shingles.tobytes(), number)) != number:
            if first in self.leaks:
                self.leaks[number] = self.leaks[first]._replace(row=number)
            return None
        sketch = self._sketch(shingles)
        if self._measured:
            self._compare(number, shingles, sketch)
        if (found := self._find(number, shingles, sketch)) is not None:
            return found
        self._kept[number] = shingles
        self._index.insert(number, sketch, check_duplication=False)
        return None

    def _find(self, number: int, shingles: Shingles, sketch: Any) -> Near | None:
        best = None
        for other in sorted(self._index.query(sketch)):
            index = jaccard(shingles, self._kept[other])
            if index >= JACCARD and (best is None or index > best.jaccard):
                best = Near(number, other, index)
        return best

    def _compare(self, number: int, shingles: Shingles, sketch: Any) -> None:
        """Compares a row with those for evaluation: all that are near no row yet, and others until enough are near."""
        num_near = 0
        for other in sorted(self._held_out.query(sketch), key=lambda each: (each in self.leaked, each)):
            if num_near >= ENOUGH and other in self.leaked:
                break
            if (index := jaccard(shingles, self._measured[other])) < JACCARD:
                continue
            num_near += 1
            if number not in self.leaks or index > self.leaks[number].jaccard:
                self.leaks[number] = Near(number, other, index)
            if other not in self.leaked or index > self.leaked[other].jaccard:
                self.leaked[other] = Near(other, number, index)

    def _sketch(self, shingles: Shingles) -> Any:
        sketch = self._empty.copy()
        sketch.update_batch((shingles >> np.uint64(32)).tolist())
        return sketch

    def _shingles(self, entry: Entry) -> Shingles:
        texts = [*entry.images, entry.prompt, *sorted(entry.sides)]
        return shingle([number for text in texts for number in self._vocabulary.numbers(text)])


def shingle(words: Sequence[int]) -> Shingles:
    """Hashes the runs of five words of a text, each once, in order of their hash; a shorter text is one run.

    Example:
        >>> len(shingle([1, 2, 3, 4, 5, 6])), len(shingle([1, 2])), len(shingle([1] * 9))
        (2, 1, 1)
    """
    numbers = np.asarray(words, dtype=np.uint64) + np.uint64(1)
    width = min(SHINGLE, len(numbers))
    hashed = np.full(max(1, len(numbers) - width + 1), width, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in range(width):
            hashed = _scramble(hashed ^ numbers[place : len(numbers) - width + place + 1])
    return np.unique(hashed)


def jaccard(first: Shingles, second: Shingles) -> float:
    """Computes the share of the runs of two texts that both have."""
    both = len(np.intersect1d(first, second, assume_unique=True))
    return both / (len(first) + len(second) - both)


def _scramble(values: Shingles) -> Shingles:
    """Mixes the bits of numbers, as SplitMix64 does."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _same(value: int) -> int:
    return value
