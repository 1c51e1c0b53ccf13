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
