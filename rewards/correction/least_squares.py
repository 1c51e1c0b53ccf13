import numpy as np

from rewards.correction._libraries import library
from rewards.correction._moments import Array, Layout, in_chunks
from rewards.correction._sums import Sums, estimate
from rewards.correction.estimates import LIBRARY_ROWS, Estimates, degrees_of_freedom


def least_squares(outcome: Array, columns: Array, clusters: Array | None = None) -> Estimates:
    """Fits outcome ~ 1 + columns with errors robust to unequal variances (HC1), or clustered.

    statsmodels' `OLS` up to `LIBRARY_ROWS` rows; above, sums over rows, which give the same coefficients and standard
    errors to 1e-8 in a tenth of the time and without copies of the table.

    Args:
        outcome: `(N,)`.
        columns: `(N, K)`.
        clusters: `(N,)` labels of rows that may be dependent.

    Returns:
        Estimates of the K columns, without the intercept.
    """
    if len(outcome) > LIBRARY_ROWS:
        return summed_least_squares(outcome, columns, clusters)
    return library_least_squares(outcome, columns, clusters)


def library_least_squares(outcome: Array, columns: Array, clusters: Array | None = None) -> Estimates:
    """Does what `least_squares` does, with statsmodels."""
    with_constant = np.column_stack([np.ones(len(outcome)), columns])
    model = library("statsmodels.regression.linear_model").OLS(outcome, with_constant)
    if clusters is None:
        result, num_clusters = model.fit(cov_type="HC1", use_t=True), None
    else:
        labels, codes = np.unique(clusters, return_inverse=True)
        result = model.fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
        num_clusters = len(labels)
    degrees = degrees_of_freedom(len(outcome), with_constant.shape[1], num_clusters)
    return Estimates(np.asarray(result.params)[1:], np.asarray(result.cov_params())[1:, 1:], degrees)


def summed_least_squares(outcome: Array, columns: Array, clusters: Array | None = None) -> Estimates:
    """Does what `least_squares` does, from sums over rows."""
    read = in_chunks(np.column_stack([outcome, columns]), clusters)
    return from_sums(estimate(read, Layout(columns.shape[1])))


def from_sums(sums: Sums, absorbed: int = 1) -> Estimates:
    """Adds the degrees of freedom to sums over rows."""
    num_parameters = len(sums.coefficients) + absorbed
    degrees = degrees_of_freedom(sums.moments.num_rows, num_parameters, sums.num_clusters)
    return Estimates(sums.coefficients, sums.covariance, degrees)
