"""What runs that learn from preference pairs put on their page."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.methods.rrpo.findings import find_pair_problems
from align.methods.rrpo.panels import COMPARED, PANELS, STEP_TIME
from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, draw_panel
from align.report.run.finding import Finding
from align.report.run.folder import RunFolder
from align.report.run.parts import LENGTH, ReportParts, step_time_chart

FACTS = {
    **LENGTH,
    "per_device_train_batch_size": "Pairs per device and pass",
    "gradient_accumulation_steps": "Passes per step",
    "learning_rate": "Learning rate",
    "beta": "Reward scale (beta)",
    "kl_coef": "KL weight (kl_coef)",
    "kl_placement": "Place of the KL",
    "spans": "Rewarded text (spans)",
    "diff_unit": "Unit of the diff",
    "on_missing_spans": "Pairs without spans",
    "max_length": "Longest prompt and response, tokens",
}


def _charts(metrics: Metrics) -> Sequence[Chart | None]:
    return [*(draw_panel(panel, metrics) for panel in PANELS), step_time_chart(metrics, STEP_TIME)]


def _findings(run: RunFolder) -> Sequence[Finding]:
    return find_pair_problems(run.metrics, whole=run.recipe.get("spans") == "whole")


def _describe_marks(recipe: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Says what the marks on the page have to do with what was rewarded."""
    if recipe.get("spans") == "whole":
        return "This run rewards whole responses (`spans: whole`), as DPO does."
    if recipe.get("diff_unit") == "token" and any(row.get("marked_share") is None for row in rows):
        return (
            "Only marked text is rewarded. Marks from a diff are words here, while this run compared tokens "
            "(`diff_unit: token`)."
        )
    return "Only marked text is rewarded."


REPORT = ReportParts(FACTS, _charts, _findings, COMPARED, describe_marks=_describe_marks)
