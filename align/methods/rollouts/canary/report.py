"""What the canary puts on the page of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.recipe.alarms import CANARY, CANARY_MAX
from align.report.charts.panel import Panel

FACTS = {"canary_steps": "Steps between canaries", "canary_prompts": "Prompts of the canary"}
PANEL = Panel(
    "Canary: log-probs of vLLM and trainer on fixed prompts, difference in nats",
    "Measured before the update of its step, over the same prompts each time. Near 0 vLLM has the trainer's weights.",
    {CANARY: "mean", CANARY_MAX: "largest of a token"},
)


def unused(recipe: Mapping[str, Any]) -> Sequence[str]:
    """Lists the settings that a run without a canary does not use."""
    return () if recipe.get("canary_steps") else tuple(FACTS)
