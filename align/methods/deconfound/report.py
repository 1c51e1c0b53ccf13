"""What runs that train a reward model on corrected outcomes put on their page."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.methods.deconfound.findings import find_outcome_problems
from align.methods.deconfound.panels import COMPARED, PANELS, lean_charts
from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, Panel, draw_panel
from align.report.run.finding import Finding
from align.report.run.folder import RunFolder
from align.report.run.parts import LENGTH, ReportParts, step_time_chart

FACTS = {
    "head": "Score head",
    **LENGTH,
    "per_device_train_batch_size": "Texts per device and pass",
    "gradient_accumulation_steps": "Passes per step",
    "learning_rate": "Learning rate",
    "max_length": "Longest prompt and text, tokens",
}
OPTIMIZER = ("per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate")
STEP_TIME = Panel("Time of a step, seconds", "Of all passes over the batch.", {"step_time": "step"})


def _charts(metrics: Metrics) -> Sequence[Chart | None]:
    panels = (draw_panel(panel, metrics) for panel in PANELS)
    return [*panels, *lean_charts(metrics), step_time_chart(metrics, STEP_TIME)]


def _findings(run: RunFolder) -> Sequence[Finding]:
    return find_outcome_problems(run.metrics)


def _unused(recipe: Mapping[str, Any]) -> Sequence[str]:
    """Lists what solving for the head does without: everything of the optimizer."""
    return (*LENGTH, *OPTIMIZER) if recipe.get("head") == "ridge" else ()


REPORT = ReportParts(FACTS, _charts, _findings, COMPARED, _unused)
