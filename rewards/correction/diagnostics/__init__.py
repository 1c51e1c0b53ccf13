"""What to look at before a correction is believed."""

from rewards.correction.diagnostics.additivity import Interaction, additivity
from rewards.correction.diagnostics.confounding import Association, Collinearity, associations, collinearity, explained
from rewards.correction.diagnostics.placebo import Placebo, placebo
from rewards.correction.diagnostics.sensitivity import Agreement, rank_agreement
from rewards.correction.diagnostics.strength import InstrumentStrength, Overlap, first_stage, overlap

__all__ = [
    "Agreement",
    "Association",
    "Collinearity",
    "InstrumentStrength",
    "Interaction",
    "Overlap",
    "Placebo",
    "additivity",
    "associations",
    "collinearity",
    "explained",
    "first_stage",
    "overlap",
    "placebo",
    "rank_agreement",
]
