"""What runs that learn from demonstrations put on their page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, Panel, draw_panel
from align.report.run.finding import Sign, ends
from align.report.run.folder import RunFolder
from align.report.run.method_parts import LENGTH, ReportParts, step_time_chart

FACTS = {
    **LENGTH,
    "per_device_train_batch_size": "Demonstrations per device and pass",
    "max_length": "Longest demonstration, tokens",
    "packing": "Several in a row (packing)",
}
BESIDE = "mean_token_accuracy"
PANELS = (
    Panel("Loss, nats per token", "Of the tokens that are learnt.", {"loss": "loss"}, beside=BESIDE),
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
COMPARED = (
    Panel("Token accuracy, demonstrations", "Each run on its own.", {BESIDE: ""}, share=True),
    Panel("Entropy of learnt tokens, nats", "Each run on its own demonstrations.", {"entropy": ""}, beside=BESIDE),
)


def _charts(metrics: Metrics) -> Sequence[Chart | None]:
    return [*(draw_panel(panel, metrics) for panel in PANELS), step_time_chart(metrics)]


def _risen(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    losses = run.metrics["eval_loss"].values if "eval_loss" in run.metrics else np.empty(0)
    losses = losses[np.isfinite(losses)]
    pairs = (losses[1:] + losses[:-1]) / 2  # not of one evaluation only
    if len(losses) >= 3 and pairs[-1] > 1.1 * pairs.min():  # of fewer, the lowest is not told from noise
        yield {"least": pairs.min(), "now": pairs[-1]}


SIGNS = (
    Sign("The loss on evaluation rows rose from {least:.3g} to {now:.3g}, means of two",
         "The demonstrations are learnt by heart. Stop earlier, with `load_best_model_at_end: true`, fewer epochs or "
         "a lower `learning_rate`, or give more of them.", _risen),
    Sign("The model is sure of every token: {value} nats",
         "Samples for one prompt will hardly differ, and reinforcement learning that starts here has no groups to "
         "compare. Train fewer steps before it.", ends("entropy", below=0.02)),
)  # fmt: skip
REPORT = ReportParts(FACTS, _charts, SIGNS, COMPARED)
