"""DeconfoundLM: from an observed outcome to a reward without the effect of known confounders (arXiv 2506.00152)."""

from rewards.correction.columns import CorrectionWarning
from rewards.correction.correction import Correction
from rewards.correction.corrector import Corrector, NaiveResidual, NoCorrection
from rewards.correction.double_ml import DoubleML
from rewards.correction.fixed_effects import FixedEffects
from rewards.correction.instrumental import InstrumentalVariables

ESTIMATORS: dict[str, type[Corrector]] = {
    "iv": InstrumentalVariables,
    "dml": DoubleML,
    "fixed_effects": FixedEffects,
    "ols": NaiveResidual,
    "none": NoCorrection,
}

__all__ = [
    "ESTIMATORS",
    "Correction",
    "CorrectionWarning",
    "Corrector",
    "DoubleML",
    "FixedEffects",
    "InstrumentalVariables",
    "NaiveResidual",
    "NoCorrection",
]
