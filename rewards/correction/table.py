"""The table that an estimator sees: rows that are read again and again, from memory or in chunks."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from rewards.correction._moments import Array, Moments, Read, Rows, collect, in_chunks
from rewards.correction.categories import Category, category, count, labels_of
from rewards.correction.columns import Missing, Sample, category_names, read_sample


class TableChunk(NamedTuple):
    """Some rows of a table, as `fit` takes them."""

    outcome: Any
    confounders: Any
    instruments: Any = None
    groups: Any = None


ReadTable = Callable[[], Iterable[TableChunk]]


class Table(NamedTuple):
    """Checked rows, and what is known of all of them: an outcome, K confounders and L instruments."""

    read: Read  # gives all these columns, as often as asked
    moments: Moments  # of all these columns
    confounders: tuple[str, ...]  # names
    instruments: tuple[str, ...] | None  # names, None without
    categories: tuple[Category, ...]  # whose levels some of the confounders are
    units: dict[str, str]  # that dates were turned into, by the name of the column
    num_dropped: int  # rows left out because a value was missing
    sample: Sample | None = None  # all rows at once; None in chunks

    @property
    def of_levels(self) -> frozenset[str]:
        """Names the columns of 0 and 1 that categories became."""
        return frozenset(name for each in self.categories for name in each.columns)


def whole_table(sample: Sample) -> Table:
    """Makes the table of rows that are all in memory."""
    read = in_chunks(stack(sample), sample.groups)
    moments = collect(read)._replace(origins=sample.origins)
    names = sample.confounders.names, sample.instruments and sample.instruments.names
    return Table(read, moments, *names, sample.confounders.categories, sample.units, sample.num_dropped, sample)


def table_in_chunks(read: ReadTable, missing: Missing) -> Table:
    """Makes the table of rows that need not be in memory; each call of `read` gives the same chunks."""
    reader = _ChunkReader(read, missing)
    moments = collect(reader)._replace(origins=reader.origins)
    names = reader.confounders, reader.instruments
    return Table(reader, moments, *names, reader.categories or (), reader.units, reader.num_dropped)


class _ChunkReader:
    """Reads checked rows as often as asked, and remembers names and how many rows were left out."""

    def __init__(self, read: ReadTable, missing: Missing) -> None:
        self.read = read
        self.missing = missing
        self.confounders: tuple[str, ...] = ()
        self.instruments: tuple[str, ...] | None = None
        self.origins: tuple[int, ...] = ()
        self.units: dict[str, str] = {}
        self.categories: tuple[Category, ...] | None = None  # known after the first chunk
        self.num_dropped = 0

    def __call__(self) -> Iterator[Rows]:
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


def standardise(sample: Sample, moments: Moments) -> tuple[Sample, Array]:
    """Centres all columns and divides by the `(1 + K + L,)` deviations, so that penalties do not depend on units."""
    deviations = np.where(moments.deviations > 0, moments.deviations, 1.0)
    parts = np.split((stack(sample) - moments.means) / deviations, [1, 1 + len(sample.confounders.names)], axis=1)
    confounders = sample.confounders._replace(values=parts[1])
    instruments = sample.instruments and sample.instruments._replace(values=parts[2])
    return sample._replace(outcome=parts[0][:, 0], confounders=confounders, instruments=instruments), deviations


def reordered(read: Read, moments: Moments, order: Array) -> tuple[Read, Moments]:
    """Reads the same rows with their columns in another order, and returns the moments of these."""
    means, scale, cross = moments.means[order], moments.scale[order], moments.cross[np.ix_(order, order)]
    return (
        lambda: (rows._replace(values=rows.values[:, order]) for rows in read()),
        Moments(moments.num_rows, means, scale, cross),
    )


def _dates(units: dict[str, str]) -> str:
    return ", ".join(units) or "none"
