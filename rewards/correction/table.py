"""The table that an estimator sees: rows that are read again and again, from memory or in chunks."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from rewards.correction._moments import Array, Moments, Read, Rows, collect, in_chunks
from rewards.correction.categories import (
    FEW_VALUES,
    Category,
    are_codes,
    category,
    count,
    is_category,
    labelled,
    labels_of,
)
from rewards.correction.columns import BEND, Columns, Missing, Sample, beside, category_names, difference, read_sample
from rewards.correction.curves import Curve, bends_of, find_curves, undetermined


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
    curves: tuple[Curve, ...] = ()  # whose bends are the last confounders
    centres: Array = np.empty(0)  # (K,) means of confounders before there were bends, as curves know them
    kept: Array = np.empty(0, dtype=bool)  # which bends of the curves are columns; others are determined by these

    @property
    def of_levels(self) -> frozenset[str]:
        """Names the columns of 0 and 1 that categories became."""
        return frozenset(name for each in self.categories for name in each.columns)


def bent(table: Table, lines: Collection[str], needs_sample: bool) -> Table:
    """Adds the bends of confounders that are not `lines` as columns, to the rows and, where asked, to the sample."""
    names, num, moments = table.confounders, 1 + len(table.confounders), table.moments
    origins = moments.origins or (0,) * len(moments.means)
    means = -np.array([difference(*each) for each in zip(origins, moments.levels.tolist(), strict=True)])[1:]
    curves = find_curves(table.read, len(moments.means), means, names, {*lines, *table.of_levels}, table.units)
    table = table._replace(centres=means[: num - 1])
    if not curves:
        return table

    def widened(values: Array) -> Array:
        return np.hstack([values[:, :num], bends_of(curves, names, values[:, 1:num], means), values[:, num:]])

    def read() -> Iterator[Rows]:
        for rows in table.read():
            yield rows._replace(values=widened(rows.values))

    moments = collect(read)
    width = len(moments.means) - len(table.moments.means)
    kept = undetermined(moments.cross[1 : num + width, 1 : num + width], num - 1)[num - 1 :]
    places = np.delete(np.arange(len(moments.means)), num + np.flatnonzero(~kept))
    wider, moments = reordered(read, moments, places)
    names = names + tuple(f"{BEND}{place}" for place in np.flatnonzero(kept))
    wide = table._replace(
        centres=means[: num - 1], read=wider, moments=moments, confounders=names, curves=curves, kept=kept
    )
    if table.sample is None or not needs_sample:
        return wide
    columns = table.sample.confounders
    bends = bends_of(curves, columns.names, columns.values, means)[:, kept]
    sample = table.sample._replace(confounders=beside([columns, Columns(names[num - 1 :], bends)]))
    return wide._replace(read=in_chunks(stack(sample), sample.groups), sample=sample)


def without_bends(names: Iterable[str]) -> list[str]:
    """Returns the names of columns that a user knows."""
    return [name for name in names if not name.startswith(BEND)]


def whole_table(sample: Sample) -> Table:
    """Makes the table of rows that are all in memory."""
    read = in_chunks(stack(sample), sample.groups)
    moments = collect(read)._replace(origins=sample.origins)
    names = sample.confounders.names, sample.instruments and sample.instruments.names
    return Table(read, moments, *names, sample.confounders.categories, sample.units, sample.num_dropped, sample)


def table_in_chunks(read: ReadTable, missing: Missing, lines: Collection[str] | None = ()) -> Table:
    """Makes the table of rows that need not be in memory; each call of `read` gives the same chunks."""
    reader = _ChunkReader(read, missing, lines)
    moments = collect(reader)._replace(origins=reader.origins)
    names = reader.confounders, reader.instruments
    return Table(reader, moments, *names, reader.categories or (), reader.units, reader.num_dropped)


class _ChunkReader:
    """Reads checked rows as often as asked, and remembers names and how many rows were left out."""

    def __init__(self, read: ReadTable, missing: Missing, lines: Collection[str] | None) -> None:
        self.read, self.missing, self.lines = read, missing, lines
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
                self.categories = self._levels(category_names(chunk.confounders, self.lines))
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
        numbers: set[str] = set()
        for chunk in self.read() if names else ():
            for name, counted in counts.items():
                labels = labels_of(chunk.confounders[name])
                if labels is None and not is_category(chunk.confounders[name]):
                    numbers.add(name)
                if name not in numbers or len(counted) < FEW_VALUES.stop:
                    counted.update(count(labelled(chunk.confounders[name]) if labels is None else labels))
        found = counts.items()
        return tuple(category(name, counted) for name, counted in found if name not in numbers or are_codes(counted))

    def _checked(self, number: int, chunk: TableChunk) -> Sample:
        parts = {"instruments": chunk.instruments, "groups": chunk.groups, "categories": self.categories}
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
