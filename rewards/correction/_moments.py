"""Sums over the rows of a table, from which least squares and two-stage least squares can be read off.

Columns are shifted and scaled by the first chunk, so that a large mean costs no digits.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
CHUNK_ROWS = 65_536


class Layout(NamedTuple):
    """How many columns of each kind follow the outcome: exogenous, then endogenous, then instruments."""

    exogenous: int
    endogenous: int = 0
    instruments: int = 0

    @property
    def regressors(self) -> slice:
        """Returns the columns of the second stage."""
        return slice(1, 1 + self.exogenous + self.endogenous)

    @property
    def first_stage(self) -> list[int]:
        """Returns the columns of the first stage: exogenous ones and instruments."""
        width = 1 + self.exogenous + self.endogenous
        return [*range(1, 1 + self.exogenous), *range(width, width + self.instruments)]


class Rows(NamedTuple):
    """Some rows: `(n, 1 + columns)` values, the outcome first, and `(n,)` cluster labels or None."""

    values: Array
    clusters: Array | None = None


Read = Callable[[], Iterable[Rows]]


class Moments(NamedTuple):
    """Sums over all rows: means, and `(columns, columns)` centred cross products of columns divided by `scale`."""

    num_rows: int
    means: Array
    scale: Array
    cross: Array

    @property
    def deviations(self) -> Array:
        """Returns the standard deviation of every column."""
        return np.sqrt(np.maximum(np.diag(self.cross), 0) / self.num_rows) * self.scale


def in_chunks(values: Array, clusters: Array | None = None, size: int = CHUNK_ROWS) -> Read:
    """Reads an array in pieces, as often as asked."""

    def read() -> Iterator[Rows]:
        for start in range(0, len(values), size):
            part = slice(start, start + size)
            yield Rows(values[part], None if clusters is None else clusters[part])

    return read


def collect(read: Read) -> Moments:
    """Sums the cross products of all columns in one pass.

    Raises:
        ValueError: If there are no rows.
    """
    num_rows = 0
    for rows in read():
        if not num_rows:
            if not len(rows.values):
                continue
            shift, scale = rows.values.mean(axis=0), rows.values.std(axis=0)
            scale = np.where(scale > 0, scale, 1.0)
            total, cross = np.zeros(len(shift)), np.zeros((len(shift), len(shift)))
        part = (rows.values - shift) / scale
        num_rows, total, cross = num_rows + len(part), total + part.sum(axis=0), cross + part.T @ part
    if not num_rows:
        raise ValueError("There are no rows to estimate from; got an empty table.")
    mean = total / num_rows
    return Moments(num_rows, shift + mean * scale, scale, cross - num_rows * np.outer(mean, mean))


class Partialled(NamedTuple):
    """Cross products without the exogenous columns' part.

    Attributes:
        endogenous: `(E, E)`.
        between: `(E, L)` of endogenous columns and instruments.
        instruments: `(L, L)`.
    """

    endogenous: Array
    between: Array
    instruments: Array

    @property
    def explained(self) -> Array:
        """Returns the `(E, E)` part of the endogenous columns' that the instruments explain."""
        return np.asarray(self.between @ np.linalg.solve(self.instruments, self.between.T))


def partial_out(moments: Moments, layout: Layout) -> Partialled:
    """Removes the exogenous columns from the cross products of endogenous columns and instruments."""
    cross = moments.cross
    kept = cross[1 + layout.exogenous :, 1 + layout.exogenous :]
    if layout.exogenous:
        exogenous = slice(1, 1 + layout.exogenous)
        between = cross[exogenous, 1 + layout.exogenous :]
        kept = kept - between.T @ np.linalg.solve(cross[exogenous, exogenous], between)
    count = layout.endogenous
    return Partialled(kept[:count, :count], kept[:count, count:], kept[count:, count:])


def cragg_donald(moments: Moments, layout: Layout) -> float:
    """Computes Cragg and Donald's statistic (1993), the F of the worst-identified mix of endogenous columns."""
    parts = partial_out(moments, layout)
    noise = (parts.endogenous - parts.explained) / (moments.num_rows - 1 - len(layout.first_stage))
    root = np.linalg.inv(np.linalg.cholesky(noise))
    return float(np.linalg.eigvalsh(root @ parts.explained @ root.T)[0] / layout.instruments)
