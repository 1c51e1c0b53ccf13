"""What runs that learn from demonstrations put on their page."""

from collections.abc import Sequence

from align.methods.sft.findings import find_demonstration_problems
from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, Panel, draw_panel
from align.report.run.finding import Finding
from align.report.run.folder import RunFolder
from align.report.run.parts import LENGTH, ReportParts, step_time_chart

FACTS = {
    **LENGTH,
    "per_device_train_batch_size": "Demonstrations per device and pass",
    "gradient_accumulation_steps": "Passes per step",
    "learning_rate": "Learning rate",
    "max_length": "Longest demonstration, tokens",
    "packing": "Several in a row (packing)",
}
BESIDE = "mean_token_accuracy"
PANELS = (
    Panel(
        "Loss, nats per token",
        "Of the tokens that are learnt.",
        {"loss": "loss"},
        beside=BESIDE,
    ),
    Panel(
        "Token accuracy",
        "Learnt tokens that the model would write itself, given those before. Not the share of right answers.",
        {BESIDE: "accuracy"},
        share=True,
    ),
    Panel(
        "Entropy, nats per token",
        "Near 0 the model is sure of every token, and reinforcement learning that follows has little to try.",
        {"entropy": "entropy"},
        beside=BESIDE,
    ),
)
STEP_TIME = Panel("Time of a step, seconds", "Of all passes over the batch.", {"step_time": "step"}, beside=BESIDE)
COMPARED = (
    Panel("Token accuracy, demonstrations", "Each run on its own.", {BESIDE: ""}, share=True),
    Panel("Entropy of learnt tokens, nats", "Each run on its own demonstrations.", {"entropy": ""}, beside=BESIDE),
)


def _charts(metrics: Metrics) -> Sequence[Chart | None]:
    return [*(draw_panel(panel, metrics) for panel in PANELS), step_time_chart(metrics, STEP_TIME)]


def _findings(run: RunFolder) -> Sequence[Finding]:
    return find_demonstration_problems(run.metrics)


REPORT = ReportParts(FACTS, _charts, _findings, COMPARED)
