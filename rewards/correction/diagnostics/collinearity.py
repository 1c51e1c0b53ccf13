from typing import Any, NamedTuple

import numpy as np

from rewards.correction.columns import read_columns


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
