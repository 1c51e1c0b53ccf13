import numpy as np

from rewards.correction._moments import Array, Layout, in_chunks
from rewards.correction._sums import estimate
from rewards.correction.estimates import Estimates
from rewards.correction.least_squares import from_sums


def within_least_squares(outcome: Array, columns: Array, codes: Array) -> Estimates:
    """Fits outcome ~ columns + one effect per group, with errors clustered by group.

    Least squares on deviations from group means, by sums over rows.

    Args:
        outcome: `(N,)`.
        columns: `(N, K)`, each varying within groups.
        codes: `(N,)` group numbers from 0.
    """
    values = deviations(np.column_stack([outcome, columns]), codes)
    sums = estimate(in_chunks(values, codes), Layout(columns.shape[1]), absorbed=0)
    return from_sums(sums, absorbed=0)


def group_means(values: Array, codes: Array) -> Array:
    """Averages `(N, K)` values within groups; returns `(G, K)`."""
    counts = np.bincount(codes)
    sums = [np.bincount(codes, weights=column, minlength=len(counts)) for column in values.T]
    return np.stack(sums, axis=1) / counts[:, None] if sums else np.empty((len(counts), 0))


def deviations(values: Array, codes: Array) -> Array:
    """Subtracts the group means from `(N, K)` values."""
    return values - group_means(values, codes)[codes]
