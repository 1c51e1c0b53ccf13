"""How outcomes go with confounders, what of them a column explains, and how confounders go with each other."""

from typing import Any, NamedTuple

import numpy as np

from rewards.correction._moments import Array
from rewards.correction.columns import read_columns
from rewards.correction.least_squares import least_squares


class Association(NamedTuple):
    """Correlation of a reward with a confounder, and its 95 % interval; nan where the confounder is constant."""

    name: str
    correlation: float
    low: float
    high: float


def associations(reward: Any, confounders: Any, groups: Array | None = None) -> list[Association]:
    """Estimates how a reward goes with each confounder; call it with the outcome and with the corrected reward.

    A good correction need not end at 0: where texts that are worth more go with the confounder, their worth keeps a
    correlation with it. Only the naive residual always ends at 0.

    Args:
        reward: `(N,)` rewards or outcomes; rows where it is nan are left out.
        confounders: Table, mapping, or `(N, K)` array.
        groups: `(N,)` labels that the intervals are clustered by.
    """
    reward, columns = np.asarray(reward, dtype=float), read_columns(confounders, "confounder")
    kept = np.isfinite(reward) & np.isfinite(columns.values).all(axis=1)
    clusters = None if groups is None else np.asarray(groups)[kept]
    found = []
    for name, column in zip(columns.names, columns.values[kept].T, strict=True):
        if not np.ptp(column):
            found.append(Association(name, *[float("nan")] * 3))
            continue
        estimates = least_squares(_standard(reward[kept]), _standard(column)[:, None], clusters)
        low, high = estimates.intervals[0]
        found.append(Association(name, float(estimates.coefficients[0]), float(low), float(high)))
    return found


def _standard(values: Array) -> Array:
    spread = values.std()
    return np.asarray((values - values.mean()) / (spread if spread > 0 else 1.0))


def explained(values: Array, column: Any) -> float:
    """Returns the share of the variance of `(N,)` values that a column explains, free of what chance explains.

    Numbers explain by a line, labels by the means of their rows (adjusted R²; never below 0). It is nan where the
    column is the same in every row or each row has a label of its own, and 0 where the values are all the same.

    Example:
        >>> explained(np.array([1.0, 1.0, 3.0, 3.0]), np.array(["a", "a", "b", "b"], dtype=object))
        1.0
    """
    column, num_rows = np.asarray(column), len(values)
    if column.dtype.kind in "biuf":
        centred, used = column - column.mean(), 2
        if not centred.any():
            return float("nan")
        fitted = centred * (centred @ values / (centred @ centred))
    else:
        labels, codes = np.unique(column.astype(str), return_inverse=True)
        used = len(labels)
        means = np.bincount(codes, weights=values - values.mean()) / np.bincount(codes)
        fitted = means[codes]
    if not 1 < used < num_rows:
        return float("nan")
    total = float(((values - values.mean()) ** 2).sum())
    left = float(((values - values.mean() - fitted) ** 2).sum())
    return max(0.0, 1 - left / (num_rows - used) / (total / (num_rows - 1))) if total > 0 else 0.0


class Collinearity(NamedTuple):
    """Variance inflation factor of a confounder: 1 if the others say nothing about it; above 10 is much."""

    name: str
    inflation: float


def collinearity(confounders: Any) -> list[Collinearity]:
    """Computes by how much the other confounders widen the variance of each coefficient; nan for a constant one.

    Raises:
        ValueError: If confounders determine each other.
    """
    columns = read_columns(confounders, "confounder")
    values = columns.values[np.isfinite(columns.values).all(axis=1)]
    varies = np.ptp(values, axis=0) > 0
    inflation = np.full(len(varies), np.nan)
    inflation[varies] = np.diag(np.linalg.inv(np.atleast_2d(np.corrcoef(values[:, varies], rowvar=False))))
    return [Collinearity(name, float(factor)) for name, factor in zip(columns.names, inflation, strict=True)]
