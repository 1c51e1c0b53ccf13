"""What carries an estimate: instruments that move a confounder, and rows that differ in it."""

from typing import NamedTuple

import numpy as np

from rewards.correction._moments import Array
from rewards.correction.columns import Columns
from rewards.correction.correction import Correction
from rewards.correction.instrumental import WEAK_F


class InstrumentStrength(NamedTuple):
    """How well the instruments move one confounder.

    Attributes:
        name: Of the confounder.
        f_statistic: Robust or clustered first-stage F, after the text was partialled out.
        partial_r2: Share of the confounder that the instruments explain beyond text and other confounders.
        is_weak: Whether F, or Cragg and Donald's statistic of all confounders, is below the bound.
    """

    name: str
    f_statistic: float
    partial_r2: float
    is_weak: bool


def first_stage(correction: Correction, weak_f: float = WEAK_F) -> list[InstrumentStrength]:
    """Reads the first stage off a correction that was asked for by instrumental variables; empty for others."""
    details = correction.details
    return [
        InstrumentStrength(name, f, details["partial_r2"][name], min(f, details["cragg_donald"]) < weak_f)
        for name, f in details.get("first_stage_f", {}).items()
    ]


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
