"""Sums over the rows of a table, from which least squares and two-stage least squares can be read off.

Every chunk is summed around its own means, and columns are divided by their deviations, so that neither a large mean
nor a unit costs digits.
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
    """Some rows: `(n, 1 + columns)` values, the outcome first, and `(n,)` numbers of clusters or None."""

    values: Array
    clusters: Array | None = None


Read = Callable[[], Iterable[Rows]]


class Moments(NamedTuple):
    """Sums over all N rows of M columns."""

    num_rows: int
    means: Array  # (M,)
    scale: Array  # (M,) standard deviations, 1 where a column is constant
    cross: Array  # (M, M) cross products of centred columns divided by `scale`

    @property
    def deviations(self) -> Array:
        """Returns the standard deviation of every column."""
        return np.sqrt(np.diag(self.cross) / self.num_rows) * self.scale

    @property
    def rounding(self) -> Array:
        """Returns the share of every column's variance that the rounding of its values may be."""
        step, deviations = np.finfo(float).eps * np.abs(self.means), self.deviations
        return np.square(np.divide(step, deviations, out=np.zeros(len(step)), where=deviations > 0))


def in_chunks(values: Array, clusters: Array | None = None, size: int = CHUNK_ROWS) -> Read:
    """Reads an array in pieces, as often as asked, with the number of each row's cluster."""
    codes = None if clusters is None else np.unique(clusters, return_inverse=True)[1]

    def read() -> Iterator[Rows]:
        for start in range(0, len(values), size):
            part = slice(start, start + size)
            yield Rows(values[part], None if codes is None else codes[part])

    return read


def collect(read: Read) -> Moments:
    """Sums the cross products of all columns in one pass; raises `ValueError` if there are no rows."""
    whole: Moments | None = None
    for rows in read():
        if len(rows.values):
            part = _sum(rows.values)
            whole = part if whole is None else _merge(whole, part)
    if whole is None:
        raise ValueError("There are no rows to estimate from; got an empty table.")
    return whole


def _sum(values: Array) -> Moments:
    means = values.mean(axis=0)
    centred = values - means
    more = centred.mean(axis=0)  # what rounding left in the mean
    centred -= more
    spread = np.abs(centred).max(axis=0)  # squares of it cannot overflow
    spread = np.where(spread > 0, spread, 1.0)
    centred /= spread
    return _scaled(Moments(len(values), means + more, spread, centred.T @ centred))


def _merge(one: Moments, other: Moments) -> Moments:
    """Adds sums over other rows to sums over some (Chan, Golub and LeVeque 1983)."""
    scale = np.maximum(one.scale * (np.diag(one.cross) > 0), other.scale * (np.diag(other.cross) > 0))
    scale = np.maximum(scale, np.abs(one.means - other.means))
    scale = np.where(scale > 0, scale, 1.0)
    num_rows = one.num_rows + other.num_rows
    step = (other.means - one.means) / scale
    cross = np.outer(step, step) * (one.num_rows * other.num_rows / num_rows)
    for part in (one, other):
        unit = part.scale / scale
        cross = cross + part.cross * np.outer(unit, unit) * (np.diag(part.cross) > 0)
    return _scaled(Moments(num_rows, one.means + step * scale * (other.num_rows / num_rows), scale, cross))


def _scaled(moments: Moments) -> Moments:
    """Returns the sums with the standard deviations as scale."""
    deviations = np.sqrt(np.diag(moments.cross) / moments.num_rows)
    unit = np.where(deviations > 0, deviations, 1.0)
    return moments._replace(scale=moments.scale * unit, cross=moments.cross / np.outer(unit, unit))


def partial_out(moments: Moments, layout: Layout) -> tuple[Array, Array]:
    """Removes the exogenous columns from cross products of E endogenous columns; returns `(E, E)`, what is left.

    The second are the parts of it that the instruments explain.
    """
    cross, count = moments.cross, layout.endogenous
    kept = cross[1 + layout.exogenous :, 1 + layout.exogenous :]
    if layout.exogenous:
        exogenous = slice(1, 1 + layout.exogenous)
        between = cross[exogenous, 1 + layout.exogenous :]
        kept = kept - between.T @ np.linalg.solve(cross[exogenous, exogenous], between)
    moved = kept[:count, count:]
    return kept[:count, :count], moved @ np.linalg.solve(kept[count:, count:], moved.T)


def cragg_donald(moments: Moments, layout: Layout) -> float:
    """Computes Cragg and Donald's statistic (1993), the F of the worst-identified mix of endogenous columns."""
    whole, explained = partial_out(moments, layout)
    noise = (whole - explained) / (moments.num_rows - 1 - len(layout.first_stage))
    root = np.linalg.inv(np.linalg.cholesky(noise))
    return float(np.linalg.eigvalsh(root @ explained @ root.T)[0] / layout.instruments)
