from typing import NamedTuple

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
