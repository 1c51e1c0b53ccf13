from typing import NamedTuple

import numpy as np

from rewards.correction._moments import Array
from rewards.correction.columns import Columns


class Overlap(NamedTuple):
    """How much of a confounder is left to learn from.

    Attributes:
        name: Of the confounder.
        explained: Share of its variance that the text and the other confounders explain.
        effective_rows: Rows that carry the estimate, of all rows.
        share: `effective_rows` over all rows; 1/3 for normally distributed residuals.
    """

    name: str
    explained: float
    effective_rows: float
    share: float


def overlap(confounders: Columns, residuals: Array | None = None) -> list[Overlap]:
    """Computes the effective sample of each coefficient (Aronow and Samii 2016): weights are squared residuals.

    A row counts by how far its confounder is from what the text and the other confounders predict. If a few rows
    carry the estimate, or almost nothing is left, similar texts were not seen with high and low confounders.

    Args:
        confounders: `(N, K)`.
        residuals: `(N, K)` what the text leaves of them, as in `residuals_.confounders`; None without text.
    """
    spread = confounders.values.std(axis=0)
    left = (confounders.values if residuals is None else residuals) / np.where(spread > 0, spread, 1.0)
    left = left - left.mean(axis=0)
    found = []
    for number, name in enumerate(confounders.names):
        others = np.delete(left, number, axis=1)
        column = left[:, number] - others @ np.linalg.lstsq(others, left[:, number], rcond=None)[0]
        weights = column**2
        explained = 1 - weights.mean()
        effective = float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0
        found.append(Overlap(name, float(explained), effective, effective / len(column)))
    return found
