from typing import NamedTuple

import numpy as np

from rewards.correction._libraries import library
from rewards.correction._moments import Array

LEVEL = 0.95


class Estimates(NamedTuple):
    """Coefficients `(K,)`, their `(K, K)` covariance, and the degrees of freedom of Student's t."""

    coefficients: Array
    covariance: Array
    degrees: float

    def scaled(self, factors: Array) -> "Estimates":
        """Returns the estimates `(K,)` factors times as large, as after a change of units."""
        return Estimates(self.coefficients * factors, self.covariance * factors[:, None] * factors[None], self.degrees)

    @property
    def standard_errors(self) -> Array:
        """Returns `(K,)` standard errors."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def intervals(self) -> Array:
        """Returns `(K, 2)` 95 % intervals."""
        reach = float(library("scipy.special").stdtrit(self.degrees, (1 + LEVEL) / 2)) * self.standard_errors
        return np.stack([self.coefficients - reach, self.coefficients + reach], axis=1)

    @property
    def p_values(self) -> Array:
        """Returns `(K,)` two-sided p-values of the coefficient being 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.abs(self.coefficients / self.standard_errors)
        return np.asarray(2 * library("scipy.special").stdtr(self.degrees, -ratio))


def degrees_of_freedom(num_rows: int, num_parameters: int, num_clusters: int | None) -> float:
    """Returns the degrees of freedom of an interval: rows less parameters, or clusters less one."""
    return float(num_rows - num_parameters if num_clusters is None else num_clusters - 1)
