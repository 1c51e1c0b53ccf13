"""What a number does beyond a line, by its values at knots; a date has an hour, a weekday and a month, too."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rewards.correction._moments import Array
from rewards.correction.categories import LEAST_ROWS, MOST_LEVELS, MOST_RARE
from rewards.correction.numeric import DAYS

MOST_KNOTS, MOST_BENDS = 16, 120  # of a number with more than 50 values, and of a table
ROWS_PER_BEND = 20
DETERMINED = 1e-6  # share of a bend's variance that columns before it leave over
PARTS = ("hour", "weekday", "month")  # of a date


class Curve(NamedTuple):
    """Effect of a confounder beyond its line: straight between knots, and the same beyond the last ones."""

    name: str  # of the confounder
    part: str  # of a date: hour, weekday (0 is Monday) or month (0 is January); empty for the value
    knots: tuple[float, ...]  # ascending; values less the mean of the confounder, or parts
    effects: tuple[float, ...] = ()  # at the knots, on the outcome; their mean over the fitted rows is 0

    @property
    def inner(self) -> slice:
        """Returns the knots whose hats are columns: a line stands for both ends, a part is compared with its first."""
        return slice(1, None if self.part else -1)

    def read(self, values: Array, mean: float) -> Array:
        """Turns `(N,)` values less the mean into what the knots are of."""
        return part_of(values + mean, self.part) if self.part else values

    def hats(self, values: Array) -> Array:
        """Returns `(N, knots)` weights of the knots, by which a curve is drawn through its values there."""
        knots, rows = np.array(self.knots), np.arange(len(values))
        left = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)
        share = np.clip((values - knots[left]) / (knots[left + 1] - knots[left]), 0, 1)
        found = np.zeros((len(values), len(knots)))
        found[rows, left], found[rows, left + 1] = 1 - share, share
        return found

    def at(self, values: Array, mean: float) -> Array:
        """Returns the `(N,)` effect beyond the line at values less the mean; nan where one is missing."""
        read = self.read(values, mean)
        return np.where(np.isnan(values), np.nan, np.interp(read, self.knots, self.effects))


def part_of(days: Array, part: str) -> Array:
    """Returns the hour, the weekday or the month of days since 1970, from 0 on.

    Example:
        >>> part_of(np.array([0.5, 31.0]), "hour"), part_of(np.array([0.5, 31.0]), "month")
        (array([12.,  0.]), array([0., 1.]))
    """
    if part == "hour":
        return np.minimum(np.floor(days % 1 * 24 + 1e-6), 23)
    whole = np.floor(days)
    if part == "weekday":
        return np.asarray((whole + 3) % 7)
    finite = np.where(np.isfinite(whole), whole, 0).astype("M8[D]").astype("M8[M]").astype(int)
    return np.asarray(np.where(np.isfinite(whole), finite % 12, np.nan))


def find_curves(
    confounders: Array,
    width: int,
    means: Array,
    names: Sequence[str],
    lines: Collection[str],
    units: Mapping[str, str],
) -> tuple[Curve, ...]:
    """Places the knots of `(N, K)` confounders that are not `lines`, as many as rows of `width` columns allow."""
    parts = [
        Curve(name, part, ())
        for name in names
        if name not in lines
        for part in ("", *(PARTS if units.get(name) == DAYS else ()))
    ]
    room, curves = min(MOST_BENDS, len(confounders) // ROWS_PER_BEND - width), []
    for number, each in enumerate(parts):
        place = names.index(each.name)
        values = each.read(confounders[:, place] - means[place], means[place])
        knots = _knots(each, values, max(0, room // (len(parts) - number)), each.name in units)
        if len(knots[each.inner]):
            curves.append(each._replace(knots=tuple(knots.tolist())))
            room -= len(knots[each.inner])
    return tuple(curves)


def bends_of(curves: tuple[Curve, ...], names: tuple[str, ...], values: Array, means: Array) -> Array:
    """Returns the columns `(N, M)` of all curves, from `(N, K)` confounders and their means."""
    found = [np.empty((len(values), 0))]
    for curve in curves:
        place = names.index(curve.name)
        found.append(curve.hats(curve.read(values[:, place] - means[place], means[place]))[:, curve.inner])
    return np.hstack(found)


def undetermined(cross: Array, first: int) -> Array:
    """Returns a mask of columns that earlier ones do not determine; the `first` ones are taken as given."""
    left, kept = cross / np.diag(cross).clip(1e-300), np.ones(len(cross), dtype=bool)
    for place in range(len(cross)):
        pivot = left[place, place]
        if place >= first and not pivot > DETERMINED:
            kept[place] = False
        elif pivot > 0:
            left = left - np.outer(left[:, place], left[place]) / pivot
    return kept


def drawn(curves: tuple[Curve, ...], slopes: Array, means: Array, by_line: Array) -> tuple[Curve, ...]:
    """Gives curves their effects: `(M,)` slopes of the bends, less their `(M,)` means and parts along the line."""
    found, start = [], 0
    for curve in curves:
        knots, effects = np.array(curve.knots), np.zeros(len(curve.knots))
        own = slice(start, start + len(knots[curve.inner]))
        effects[curve.inner] = slopes[own]
        effects -= slopes[own] @ means[own] + (0.0 if curve.part else slopes[own] @ by_line[own]) * knots
        found.append(curve._replace(effects=tuple(effects.tolist())))
        start = own.stop
    return tuple(found)


def _knots(curve: Curve, values: Array, most: int, is_date: bool) -> Array:
    """Returns all frequent values if there are few, else values at even distances in rows; both ends of a line."""
    values, counts = np.unique(values, return_counts=True)
    inner, is_rare = values[counts >= LEAST_ROWS], counts < LEAST_ROWS
    if curve.part:
        return inner[np.unique(np.linspace(0, len(inner) - 1, min(len(inner), most + 1)).round().astype(int))]
    inner = inner[(inner > values[0]) & (inner < values[-1])]
    many = len(values) > MOST_LEVELS or len(inner) > most or counts[is_rare].sum() > MOST_RARE * counts.sum()
    if many or is_date:
        number, below = min(most, MOST_KNOTS // (2 if is_date else 1)), counts.cumsum() / counts.sum()
        inner = values[np.searchsorted(below, np.arange(1, number + 1) / (number + 1) - 1e-12)]
    return np.unique(np.concatenate([values[:1], inner, values[-1:]]))
