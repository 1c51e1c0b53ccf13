"""What the canary puts on the page of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.methods.rollouts.report import REPORT as ROLLOUT_REPORT
from align.methods.rollouts.tool_report import REPORT as GRPO_REPORT
from align.recipe.alarms import CANARY, CANARY_MAX
from align.report.charts.panel import Panel
from align.report.run.parts import ReportParts

FACTS = {"canary_steps": "Steps between canaries", "canary_prompts": "Prompts of the canary"}
PANEL = Panel(
    "Canary: log-probs of vLLM and trainer on fixed prompts, difference in nats",
    "Measured before the update of its step, over the same prompts each time. Near 0 vLLM has the trainer's weights.",
    {CANARY: "mean", CANARY_MAX: "largest of a token"},
)


def _watched(report: ReportParts) -> ReportParts:
    def unused(recipe: Mapping[str, Any]) -> Sequence[str]:
        return (*report.unused(recipe), *(() if recipe.get("canary_steps") else FACTS))

    return report.beside(FACTS, [PANEL], [])._replace(unused=unused)


OF_GRPO, OF_ACRE = map(_watched, (GRPO_REPORT, ROLLOUT_REPORT))
