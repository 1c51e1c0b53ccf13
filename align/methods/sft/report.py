"""What runs that learn from demonstrations put on their page."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.methods.consistency import report as consistency
from align.methods.sft.findings import find_demonstration_problems
from align.methods.sft.rules import is_plain_sft
from align.recipe.fields import own_fields
from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, Panel, draw_panel
from align.report.run.finding import Finding
from align.report.run.folder import RunFolder
from align.report.run.panels import step_time_chart
from align.report.run.parts import LENGTH, ReportParts

FACTS = {
    **LENGTH,
    "per_device_train_batch_size": "Demonstrations per device and pass",
    "gradient_accumulation_steps": "Passes per step",
    "learning_rate": "Learning rate",
    "max_length": "Longest demonstration, tokens",
    "packing": "Several in a row (packing)",
    "lfu_coef": "Weight of consistency (lfu_coef)",
    "lfu_alpha": "Length of the undesirable step",
    "lfu_mode": "What that step moves",
    "lfu_layers": "Layers that are compared",
    **consistency.FACTS,
}
BESIDE = "mean_token_accuracy"
PANELS = (
    Panel(
        "Loss, nats per token",
        "Of the tokens that are learnt; with LfU or consistency plus its coefficient times its part, in evaluations "
        "without it.",
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
    Panel(
        "Distance under the undesirable step",
        "Mean square between hidden states before and after it (LfU). It should stay small; 0 would mean no step.",
        {"lfu/consistency": "consistency"},
    ),
    Panel(
        "Length of the undesirable step",
        "As measured on the weights; below `lfu_alpha` weights in 16 bits have rounded the move away.",
        {"lfu/step_length": "length"},
    ),
    consistency.PANEL,
)
STEP_TIME = Panel("Time of a step, seconds", "Of all passes over the batch.", {"step_time": "step"}, beside=BESIDE)
COMPARED = (
    Panel("Token accuracy, demonstrations", "Each run on its own.", {BESIDE: ""}, share=True),
    Panel("Entropy of learnt tokens, nats", "Each run on its own demonstrations.", {"entropy": ""}, beside=BESIDE),
    Panel("Distance under the undesirable step", "At each run's own `lfu_alpha`.", {"lfu/consistency": ""}),
    consistency.COMPARED,
)


def _charts(metrics: Metrics) -> Sequence[Chart | None]:
    return [*(draw_panel(panel, metrics) for panel in PANELS), step_time_chart(metrics, STEP_TIME)]


def _findings(run: RunFolder) -> Sequence[Finding]:
    return find_demonstration_problems(run.metrics, float(run.recipe.get("lfu_alpha", 0.1)))


def _unused(recipe: Mapping[str, Any]) -> Sequence[str]:
    settings = {"lfu_coef": 0.0, "lfu_alpha": 0.1} | dict(recipe)
    of_lfu = own_fields("sft", "LfUConfig") if is_plain_sft(settings.get) else ()
    return (*of_lfu, *consistency.unused(recipe))


REPORT = ReportParts(FACTS, _charts, _findings, COMPARED, unused=_unused)
