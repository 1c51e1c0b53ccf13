"""The table that an estimator sees, with the columns of curves beside those of the user."""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from rewards.correction._moments import Array, Moments, Read, Rows, collect, in_chunks
from rewards.correction.categories import Category
from rewards.correction.columns import BEND, Columns, Observations, beside
from rewards.correction.curves import Curve, bends_of, find_curves, undetermined


class DesignTable(NamedTuple):
    """Checked rows, and what is known of all of them: an outcome, K confounders and L instruments."""

    sample: Observations
    read: Read  # gives all columns in pieces, as often as asked, so that those of curves need not all be there at once
    moments: Moments  # of all these columns
    confounders: tuple[str, ...]  # names
    curves: tuple[Curve, ...] = ()  # whose bends are the last confounders
    centres: Array = np.empty(0)  # (K,) means of confounders before there were bends, as curves know them
    kept: Array = np.empty(0, dtype=bool)  # which bends of the curves are columns; others are determined by these

    @property
    def instruments(self) -> tuple[str, ...] | None:
        """Names the instruments, None without."""
        return self.sample.instruments and self.sample.instruments.names

    @property
    def categories(self) -> tuple[Category, ...]:
        """Returns the categories whose levels some of the confounders are."""
        return self.sample.confounders.categories

    @property
    def of_levels(self) -> frozenset[str]:
        """Names the columns of 0 and 1 that categories became."""
        return frozenset(name for each in self.categories for name in each.columns)


def bent(table: DesignTable, lines: Collection[str], needs_sample: bool) -> DesignTable:
    """Adds the bends of confounders that are not `lines` as columns, to the rows and, where asked, to the sample."""
    names, num, moments = table.confounders, 1 + len(table.confounders), table.moments
    means = moments.means[1:]
    columns, lines = table.sample.confounders, {*lines, *table.of_levels}
    curves = find_curves(columns.values, len(moments.means), means, names, lines, table.sample.units)
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
    if not needs_sample:
        return wide
    bends = bends_of(curves, columns.names, columns.values, means)[:, kept]
    sample = table.sample._replace(confounders=beside([columns, Columns(names[num - 1 :], bends)]))
    return wide._replace(read=in_chunks(stack(sample), sample.groups), sample=sample)


def without_bends(names: Iterable[str]) -> list[str]:
    """Returns the names of columns that a user knows."""
    return [name for name in names if not name.startswith(BEND)]


def table_of(sample: Observations) -> DesignTable:
    """Makes the table of checked rows."""
    read = in_chunks(stack(sample), sample.groups)
    return DesignTable(sample, read, collect(read), sample.confounders.names)


def stack(sample: Observations) -> Array:
    """Puts outcome, confounders and instruments side by side: `(N, 1 + K + L)`."""
    instruments = [] if sample.instruments is None else [sample.instruments.values]
    return np.hstack([sample.outcome[:, None], sample.confounders.values, *instruments])


def standardise(sample: Observations, moments: Moments) -> tuple[Observations, Array]:
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
