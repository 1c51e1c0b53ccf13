"""What consistency puts on the page of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.methods.consistency.rules import SETTINGS, is_consistent
from align.report.charts.panel import Panel

FACTS = {
    "consistency_coef": "Weight of the divergence (consistency_coef)",
    "consistency_families": "Families that perturb prompts",
    "consistency_divergence": "Divergence",
}
PANEL = Panel(
    "Divergence under a perturbed prompt, nats",
    "Between the answer's tokens behind both prompts, mean over tokens; the Jensen-Shannon divergence is at most "
    "0.69. Near 0 the answers do not depend on the perturbation.",
    {"consistency/divergence": "divergence"},
)
COMPARED = Panel("Divergence under a perturbed prompt", "On each run's own families.", {"consistency/divergence": ""})


def unused(recipe: Mapping[str, Any]) -> Sequence[str]:
    """Lists the settings that a run without consistency does not use."""
    settings = {"consistency_coef": 0.0} | dict(recipe)
    return () if is_consistent(settings.get) else SETTINGS
