"""Tables that do not fit in memory: read in chunks, twice."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from rewards.correction._moments import Array, Moments, Read, Rows
from rewards.correction.categories import Category, category, count, labels_of
from rewards.correction.columns import Missing, Sample, category_names, read_sample


class TableChunk(NamedTuple):
    """Some rows of a table, as `fit` takes them."""

    outcome: Any
    confounders: Any
    instruments: Any = None
    groups: Any = None


ReadTable = Callable[[], Iterable[TableChunk]]


class ChunkReader:
    """Reads checked rows of a table as often as asked, and remembers names and how many rows were left out.

    Args:
        read: Gives the chunks from the start, each time the same.
        missing: `refuse` rows with missing values, or `drop` them.
    """

    def __init__(self, read: ReadTable, missing: Missing) -> None:
        self.read = read
        self.missing = missing
        self.confounders: tuple[str, ...] = ()
        self.instruments: tuple[str, ...] | None = None
        self.origins: tuple[int, ...] = ()
        self.units: dict[str, str] = {}
        self.categories: tuple[Category, ...] | None = None  # known after the first chunk
        self.num_dropped = 0

    @property
    def of_levels(self) -> frozenset[str]:
        """Names the columns of 0 and 1 that categories became."""
        return frozenset(name for each in self.categories or () for name in each.columns)

    def __call__(self) -> Iterator[Rows]:
        """Gives the outcome, the confounders and the instruments of each chunk.

        Raises:
            ValueError: If a chunk cannot be used, or has other columns than the first one.
        """
        self.num_dropped = 0
        for number, chunk in enumerate(self.read()):
            if not number and self.categories is None:
                self.categories = self._levels(category_names(chunk.confounders))
            sample = self._checked(number, chunk)
            names = sample.confounders.names, sample.instruments and sample.instruments.names
            if number and names != (self.confounders, self.instruments):
                raise ValueError(f"Chunk {number} must have the columns of the first one, got {names}.")
            if number and sample.units != self.units:
                raise ValueError(
                    f"Chunk {number} must have dates where the first one has: {_dates(self.units)}; got "
                    f"{_dates(sample.units)}."
                )
            if not number:
                self.categories = sample.confounders.categories
                (self.confounders, self.instruments), self.units = names, sample.units
                self.origins = self.origins or sample.origins  # of the first pass
            self.num_dropped += sample.num_dropped
            further = [float(own - first) for own, first in zip(sample.origins, self.origins, strict=True)]
            yield Rows(stack(sample) + further, sample.groups)

    def _levels(self, names: list[str]) -> tuple[Category, ...]:
        """Counts the labels of all chunks, in a pass of its own if there are any."""
        counts: dict[str, Counter[str]] = {name: Counter() for name in names}
        for chunk in self.read() if names else ():
            for name, counted in counts.items():
                labels = labels_of(chunk.confounders[name])
                counted.update({} if labels is None else count(labels))
        return tuple(category(name, counted) for name, counted in counts.items())

    def _checked(self, number: int, chunk: TableChunk) -> Sample:
        parts = {"instruments": chunk.instruments, "groups": chunk.groups, "categories": self.categories or None}
        try:
            return read_sample(chunk.outcome, chunk.confounders, missing=self.missing, **parts)
        except ValueError as error:
            raise ValueError(f"Chunk {number}: {error}") from error


def stack(sample: Sample) -> Array:
    """Puts outcome, confounders and instruments side by side: `(N, 1 + K + L)`."""
    instruments = [] if sample.instruments is None else [sample.instruments.values]
    return np.hstack([sample.outcome[:, None], sample.confounders.values, *instruments])


def reorder(read: Read, order: Array) -> Read:
    """Reads the same rows with their columns in another order."""
    return lambda: (rows._replace(values=rows.values[:, order]) for rows in read())


def reorder_moments(moments: Moments, order: Array) -> Moments:
    """Returns the moments of `reorder`."""
    return Moments(moments.num_rows, moments.means[order], moments.scale[order], moments.cross[np.ix_(order, order)])


def _dates(units: dict[str, str]) -> str:
    return ", ".join(units) or "none"
