import numpy as np

from rewards.correction._libraries import library
from rewards.correction._moments import Array, Layout, in_chunks
from rewards.correction._sums import estimate
from rewards.correction.estimates import LIBRARY_ROWS, Estimates, degrees_of_freedom
from rewards.correction.least_squares import from_sums


def within_least_squares(outcome: Array, columns: Array, codes: Array) -> Estimates:
    """Fits outcome ~ columns + one effect per group, with errors clustered by group.

    linearmodels' `PanelOLS` up to `LIBRARY_ROWS` rows; above, least squares on deviations from group means by sums
    over rows, which gives the same numbers to 1e-8.

    Args:
        outcome: `(N,)`.
        columns: `(N, K)`, each varying within groups.
        codes: `(N,)` group numbers from 0.
    """
    if len(outcome) > LIBRARY_ROWS:
        return summed_within(outcome, columns, codes)
    return library_within(outcome, columns, codes)


def library_within(outcome: Array, columns: Array, codes: Array) -> Estimates:
    """Does what `within_least_squares` does, with linearmodels."""
    pandas = library("pandas")
    index = pandas.MultiIndex.from_arrays([codes, np.arange(len(codes))])
    model = library("linearmodels.panel").PanelOLS(
        pandas.Series(outcome, index=index), pandas.DataFrame(columns, index=index), entity_effects=True
    )
    result = model.fit(cov_type="clustered", cluster_entity=True, debiased=True, group_debias=True)
    degrees = degrees_of_freedom(len(outcome), columns.shape[1], int(codes.max()) + 1)
    return Estimates(result.params.to_numpy(), result.cov.to_numpy(), degrees)


def summed_within(outcome: Array, columns: Array, codes: Array) -> Estimates:
    """Does what `within_least_squares` does, from sums over rows."""
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
