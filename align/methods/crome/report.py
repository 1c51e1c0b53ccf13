"""What runs that train a reward model on pairs put on their page."""

from collections.abc import Sequence

from align.methods.crome.findings import find_reward_problems
from align.methods.crome.panels import COMPARED, PANELS, source_charts
from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, Panel, draw_panel
from align.report.run.finding import Finding
from align.report.run.folder import RunFolder
from align.report.run.parts import LENGTH, ReportParts, step_time_chart

FACTS = {
    **LENGTH,
    "per_device_train_batch_size": "Pairs per device and pass",
    "gradient_accumulation_steps": "Passes per step",
    "learning_rate": "Learning rate",
    "model_type": "Type of model",
    "tie_coef": "Weight of ties (tie_coef)",
    "center_rewards_coefficient": "Pull of rewards to 0",
    "max_length": "Longest prompt and response, tokens",
}
STEP_TIME = Panel("Time of a step, seconds", "Of all passes over the batch.", {"step_time": "step"})


def _charts(metrics: Metrics) -> Sequence[Chart | None]:
    return [
        *source_charts(metrics),
        step_time_chart(metrics, STEP_TIME),
        *(draw_panel(panel, metrics) for panel in PANELS),
    ]


def _findings(run: RunFolder) -> Sequence[Finding]:
    return find_reward_problems(run.metrics, pairwise=run.recipe.get("model_type") == "pairwise")


REPORT = ReportParts(FACTS, _charts, _findings, COMPARED)
