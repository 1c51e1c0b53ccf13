"""What two confounders do together beyond their own curves, found by cross-fitted gradient boosting."""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from rewards.correction._moments import Array
from rewards.correction.categories import Category
from rewards.correction.cross_fitting import NEEDED_BY
from rewards.correction.curves import Curve, part_of
from rewards.extras import library

LEAST_GAIN = 4.0  # standard errors by which the error out of fold must fall
SETTINGS = {"max_iter": 200, "max_leaf_nodes": 8, "interaction_cst": "pairwise", "early_stopping": False}
ROWS_PER_LEAF = 20
ROUNDS = 20  # of taking off means of rows and of columns


class Axis(NamedTuple):
    """A confounder in pieces: a number or a part of a date between edges, or the levels of a category."""

    name: str
    part: str = ""
    edges: tuple[float, ...] = ()  # of values less the mean, or of parts; of a category 0.5, 1.5, ...

    def pieces(self, names: Sequence[str], values: Array, means: Array, categories: Sequence[Category]) -> Array:
        """Returns the piece of each row, from `(N, K)` values less the means of the confounders."""
        own = next((each for each in categories if each.name == self.name), None)
        places = [names.index(column) for column in (own.columns if own else (self.name,))]
        read, mean = values[:, places], means[places]
        if own:
            read, mean = (read + mean) @ np.arange(1, len(places) + 1)[:, None], mean
        elif self.part:
            read = part_of(read + mean, self.part)
        return np.searchsorted(self.edges, read[:, 0])


class Surface(NamedTuple):
    """Effect of two confounders, of which each pair of pieces has one."""

    axes: tuple[Axis, Axis]
    effects: tuple[tuple[float, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names both, and which part of a date is meant."""
        return tuple(f"{axis.name} ({axis.part})" if axis.part else axis.name for axis in self.axes)

    def at(self, names: Sequence[str], values: Array, means: Array, categories: Sequence[Category]) -> Array:
        """Returns the `(N,)` effect at values less the means; nan where one is missing."""
        first, second = (axis.pieces(names, values, means, categories) for axis in self.axes)
        return np.where(np.isnan(values).any(axis=1), np.nan, np.array(self.effects)[first, second])


def axes_of(
    names: Sequence[str], curves: Sequence[Curve], categories: Sequence[Category], values: Array
) -> list[Axis]:
    """Lists the pieces of every confounder, from `(N, K)` values less their means."""
    found = [Axis(each.name, edges=tuple((np.arange(len(each.levels) - 1) + 0.5).tolist())) for each in categories]
    for curve in curves:
        knots = np.array(curve.knots)
        found.append(Axis(curve.name, curve.part, tuple(((knots[1:] + knots[:-1]) / 2).tolist())))
    known = {*(each.name for each in curves), *(column for each in categories for column in each.columns)}
    for place, name in enumerate(names):
        if name not in known:
            found.append(Axis(name, edges=(float(values[:, place].min() + values[:, place].max()) / 2,)))
    return found


def find_surfaces(
    target: Array, own: Array, axes: Sequence[Axis], pieces: Array, folds: Array, seed: int
) -> tuple[Surface, ...]:
    """Finds what pairs do to an outcome `(N,)` beyond their `own` effects; nothing unless it holds out of fold.

    Trees see outcome and own effects together, since a pure interaction has no split to begin with.
    """
    if len(axes) < 2:
        return ()
    make = library("sklearn.ensemble", NEEDED_BY).HistGradientBoostingRegressor
    least, pairs = max(ROWS_PER_LEAF, len(target) // 500), list(combinations(range(len(axes)), 2))
    found, predicted = [], np.zeros(len(target))
    for number in range(int(folds.max()) + 1):
        out = folds == number
        model = make(**SETTINGS, min_samples_leaf=least, random_state=seed).fit(pieces[~out], (target + own)[~out])
        found.append([_pure(model.predict, axes, pair, pieces) for pair in pairs])
        for pair, table in zip(pairs, found[-1], strict=True):
            predicted[out] += table[tuple(pieces[out][:, pair].T)]
    gain = target**2 - (target - predicted) ** 2
    if not gain.mean() > LEAST_GAIN * gain.std() / np.sqrt(len(gain)):
        return ()
    tables = [np.mean(each, axis=0) for each in zip(*found, strict=True)]
    return tuple(
        Surface((axes[first], axes[second]), tuple(map(tuple, table.tolist())))
        for (first, second), table in zip(pairs, tables, strict=True)
        if np.ptp(table) > 0
    )


def _pure(predict: Callable[[Array], Array], axes: Sequence[Axis], pair: tuple[int, int], pieces: Array) -> Array:
    """Tabulates a function of pairs over one of them, less what each of both does by itself on average."""
    sizes = [len(axes[place].edges) + 1 for place in pair]
    rows = np.zeros((sizes[0] * sizes[1], len(axes)))
    rows[:, pair] = np.stack(np.divmod(np.arange(len(rows)), sizes[1]), axis=1)
    table = predict(rows).reshape(sizes)
    places = pieces[:, pair[0]] * sizes[1] + pieces[:, pair[1]]
    counts = np.bincount(places, minlength=len(rows)).reshape(sizes)
    for axis in (0, 1) * ROUNDS:
        table = table - (table * counts).sum(axis, keepdims=True) / counts.sum(axis, keepdims=True).clip(1)
    return np.where(counts > 0, table, 0.0)
