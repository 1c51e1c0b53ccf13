"""What to look at before a correction is believed."""

from rewards.correction.diagnostics.additivity import Interaction, additivity
from rewards.correction.diagnostics.association import Association, associations
from rewards.correction.diagnostics.collinearity import Collinearity, collinearity
from rewards.correction.diagnostics.explained import explained
from rewards.correction.diagnostics.first_stage import InstrumentStrength, first_stage
from rewards.correction.diagnostics.overlap import Overlap, overlap
from rewards.correction.diagnostics.placebo import Placebo, placebo
from rewards.correction.diagnostics.sensitivity import Agreement, rank_agreement

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
