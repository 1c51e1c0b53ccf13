"""Rows that are nearly the same: copies with a word changed, a mark added, or an instruction before or behind."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.auditing.entry import Entry
from align.auditing.features import Vocabulary
from rewards.extras import missing

SHINGLE = 3  # words
SHARE = 0.8  # of the shorter row's runs of words that the longer one has
LONGEST = 2.5  # times as many runs as the shorter row, above which a row that holds it is another one
FEWEST = 8  # runs, below which a changed word changes what is asked
TEMPLATE = 0.2  # share of the rows of a set that have a run which says nothing of one of them
FEW_ROWS = 20  # of a set, below which nothing is a template
NUM_PERM = 128
BANDS = (42, 3)  # a pair of rows with half of their runs in common becomes a candidate with a chance of 0.996
SEED = 1
ENOUGH = 10  # evaluation rows that a row is found near, of those that are found near others too
MOST = 200  # candidates that a row is compared with

Shingles = NDArray[np.uint64]


class Near(NamedTuple):
    """A row and the one that it is nearly the same as."""

    row: int
    other: int
    share: float


def why_not() -> str:
    """Returns the sentence for a machine where near rows cannot be looked for; empty where they can."""
    return missing("audit", "Looking for rows that are nearly the same", "datasketch")


class NearRows:
    """Finds rows whose runs of three words are those of another row, but for a few.

    Runs that a fifth of the rows of a set have, a template or one suffix, are left out first. A row that is near an
    earlier one stands for no others, so that a thousand copies cost a thousand comparisons. Of rows for evaluation all
    stand for themselves, since a row that is near one need not be near a copy of it; what copies of both cost grows
    with their sum.
    """

    def __init__(self) -> None:
        from datasketch import MinHash, MinHashLSH

        self._empty = MinHash(num_perm=NUM_PERM, seed=SEED, hashfunc=int)
        self._index, self._held_out = (MinHashLSH(threshold=SHARE, num_perm=NUM_PERM, params=BANDS) for _ in range(2))
        self._rows: list[Shingles] = []
        self._measured: list[Shingles] = []
        self._vocabulary = Vocabulary()
        self.leaks: dict[int, Near] = {}  # by row for training, the evaluation row that it is nearest to
        self.leaked: dict[int, Near] = {}  # by evaluation row, the row for training that is nearest to it

    def hold_out(self, entry: Entry) -> None:
        """Takes a row for evaluation up."""
        self._measured.append(self._shingles(entry))

    def add(self, entry: Entry) -> None:
        """Takes a row for training up."""
        self._rows.append(self._shingles(entry))

    def find(self) -> list[Near]:
        """Returns the rows that are near an earlier one, and fills `leaks` and `leaked`; equal rows are not near."""
        common = np.union1d(*map(_common, (self._rows, self._measured)))
        for rows in (self._rows, self._measured):
            rows[:] = [np.setdiff1d(row, common, assume_unique=True) for row in rows]
        for number, row in enumerate(self._measured):
            if len(row) >= FEWEST:
                self._held_out.insert(number, self._sketch(row), check_duplication=False)
        seen: dict[bytes, int] = {}
        found = []
        for number, row in enumerate(self._rows):
            if len(row) < FEWEST:
                continue
            if (first := seen.setdefault(row.tobytes(), number)) != number:
                if first in self.leaks:
                    self.leaks[number] = self.leaks[first]._replace(row=number)
                continue
            sketch = self._sketch(row)
            self._compare(number, row, sketch)
            if (near := self._nearest(number, row, sketch)) is not None:
                found.append(near)
            else:
                self._index.insert(number, sketch, check_duplication=False)
        return found

    def _nearest(self, number: int, row: Shingles, sketch: Any) -> Near | None:
        candidates = sorted(self._index.query(sketch))[:MOST]
        near = [Near(number, other, held) for other in candidates if (held := share(row, self._rows[other])) >= SHARE]
        return max(near, key=lambda each: (each.share, -each.other), default=None)

    def _compare(self, number: int, row: Shingles, sketch: Any) -> None:
        """Compares a row with those for evaluation: all that are near no row yet, and others until enough are near."""
        num_near = 0
        for other in sorted(self._held_out.query(sketch), key=lambda each: (each in self.leaked, each))[:MOST]:
            if num_near >= ENOUGH and other in self.leaked:
                break
            if (held := share(row, self._measured[other])) < SHARE:
                continue
            num_near += 1
            if number not in self.leaks or held > self.leaks[number].share:
                self.leaks[number] = Near(number, other, held)
            if other not in self.leaked or held > self.leaked[other].share:
                self.leaked[other] = Near(other, number, held)

    def _sketch(self, shingles: Shingles) -> Any:
        sketch = self._empty.copy()
        sketch.update_batch((shingles >> np.uint64(32)).tolist())
        return sketch

    def _shingles(self, entry: Entry) -> Shingles:
        texts = [*entry.images, entry.prompt, *sorted(entry.sides)]
        return shingle([number for text in texts for number in self._vocabulary.numbers(text)])


def _common(rows: Sequence[Shingles]) -> Shingles:
    """Returns the runs that many rows of a set have."""
    if len(rows) < FEW_ROWS:
        return np.zeros(0, dtype=np.uint64)
    runs, counts = np.unique(np.concatenate(rows), return_counts=True)
    return runs[counts > TEMPLATE * len(rows)]


def shingle(words: Sequence[int]) -> Shingles:
    """Hashes the runs of three words of a text, each once, in order of their hash; a shorter text is one run.

    Example:
        >>> len(shingle([1, 2, 3, 4])), len(shingle([1, 2])), len(shingle([1] * 9))
        (2, 1, 1)
    """
    numbers = np.asarray(words, dtype=np.uint64) + np.uint64(1)
    width = min(SHINGLE, len(numbers))
    hashed = np.full(max(1, len(numbers) - width + 1), width, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in range(width):
            hashed = _scramble(hashed ^ numbers[place : len(numbers) - width + place + 1])
    return np.unique(hashed)


def share(first: Shingles, second: Shingles) -> float:
    """Computes which share of the shorter text's runs the longer one has; 0 where that is much longer."""
    fewer, more = sorted((len(first), len(second)))
    if more > LONGEST * fewer:
        return 0.0
    return len(np.intersect1d(first, second, assume_unique=True)) / fewer


def _scramble(values: Shingles) -> Shingles:
    """Mixes the bits of numbers, as SplitMix64 does."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
