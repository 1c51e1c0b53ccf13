"""What runs of GRPO put on their page: that of all methods that sample, and the calls of tools."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.methods import METHODS
from align.methods.grpo.tools.findings import find_tool_problems
from align.methods.rollouts.report import REPORT as OF_ROLLOUTS
from align.recipe.fields import own_fields
from align.report.charts.drawing import NUM_COLOURS, Chart
from align.report.charts.panel import Metrics, Panel, draw_panel
from align.report.run.finding import Finding
from align.report.run.folder import RunFolder

FACTS = {
    "tools": "Tools",
    "environment_factory": "Environment",
    "tool_timeout": "Longest call of a tool, seconds",
    "max_tool_calling_iterations": "Most turns with calls",
}


def _charts(metrics: Metrics) -> Sequence[Chart | None]:
    return [*OF_ROLLOUTS.charts(metrics), *(draw_panel(panel, metrics) for panel in _panels(metrics))]


def _panels(metrics: Metrics) -> list[Panel]:
    names = [key.split("/")[1] for key in metrics if key.startswith("tools/") and key.endswith("/calls")][:NUM_COLOURS]
    return [
        Panel(
            "Calls of a tool, per completion",
            "`unknown` stands for names that no tool has.",
            {f"tools/{name}/calls": name for name in names},
        ),
        Panel(
            "Completions with calls, and calls that fail",
            "A completion is lost, and has no reward, if a call took too long or ended its process.",
            {
                "tools/used_share": "completions with a call",
                "tools/failure_frequency": "calls that fail",
                "tools/lost_share": "lost completions",
            },
            share=True,
        ),
        Panel("Time of a call, seconds", "95 % take less.", {f"tools/{name}/seconds_p95": name for name in names}),
    ]


def _findings(run: RunFolder) -> Sequence[Finding]:
    return [*OF_ROLLOUTS.findings(run), *find_tool_problems(run.metrics, run.completions)]


def _unused(recipe: Mapping[str, Any]) -> Sequence[str]:
    has_tools = recipe.get("tools") or recipe.get("environment_factory")
    return () if has_tools else tuple({*FACTS, *own_fields(METHODS["grpo"].config_chain, "ToolConfig")})


REPORT = OF_ROLLOUTS._replace(facts={**OF_ROLLOUTS.facts, **FACTS}, charts=_charts, findings=_findings, unused=_unused)
