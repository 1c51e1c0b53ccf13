import numpy as np

from rewards.correction._moments import Array, Layout, in_chunks
from rewards.correction._sums import Sums, estimate
from rewards.correction.estimates import Estimates, degrees_of_freedom


def least_squares(outcome: Array, columns: Array, clusters: Array | None = None) -> Estimates:
    """Fits outcome ~ 1 + columns with errors robust to unequal variances (HC1), or clustered.

    Args:
        outcome: `(N,)`.
        columns: `(N, K)`.
        clusters: `(N,)` labels of rows that may be dependent.

    Returns:
        Estimates of the K columns, without the intercept.

    Raises:
        ValueError: If the columns determine each other, or one is constant.
    """
    read = in_chunks(np.column_stack([outcome, columns]), clusters)
    return from_sums(estimate(read, Layout(columns.shape[1])))


def from_sums(sums: Sums, absorbed: int = 1) -> Estimates:
    """Adds the degrees of freedom to sums over rows."""
    num_parameters = len(sums.coefficients) + absorbed
    degrees = degrees_of_freedom(sums.moments.num_rows, num_parameters, sums.num_clusters)
    return Estimates(sums.coefficients, sums.covariance, degrees)
