"""What runs that learn from demonstrations put on their page."""

from collections.abc import Iterator, Sequence

import numpy as np

from align.evaluation.statistics.metrics import told
from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, Panel, draw_panel
from align.report.run.finding import Finding, below
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
STEP_TIME = Panel("Time of a step, seconds", "Of all passes over the batch.", {"step_time": "step"}, beside=BESIDE)
COMPARED = (
    Panel("Token accuracy, demonstrations", "Each run on its own.", {BESIDE: ""}, share=True),
    Panel("Entropy of learnt tokens, nats", "Each run on its own demonstrations.", {"entropy": ""}, beside=BESIDE),
)


def _charts(metrics: Metrics) -> Sequence[Chart | None]:
    return [*(draw_panel(panel, metrics) for panel in PANELS), step_time_chart(metrics, STEP_TIME)]


REPORT = ReportParts(FACTS, _charts, lambda run: list(find_demonstration_problems(run.metrics)), COMPARED)


_RISEN = 1.1  # times the lowest loss on rows that are not learnt from
_FEWEST = 3  # evaluations from which a rise is told from noise
_SURE = 0.02  # nats per token


def find_demonstration_problems(metrics: Metrics) -> Iterator[Finding]:
    """Lists what looks wrong in losses and entropy."""
    losses = metrics["eval_loss"].values if "eval_loss" in metrics else np.empty(0)
    losses = losses[np.isfinite(losses)]
    pairs = (losses[1:] + losses[:-1]) / 2  # not of one evaluation only
    if len(losses) >= _FEWEST and pairs[-1] > _RISEN * pairs.min():
        yield Finding(
            f"The loss on evaluation rows rose from {pairs.min():.3g} to {pairs[-1]:.3g}, means of two",
            "The demonstrations are learnt by heart. Stop earlier, with `load_best_model_at_end: true`, fewer epochs "
            "or a lower `learning_rate`, or give more of them.",
        )
    if entropy := below(metrics, "entropy", _SURE):
        yield Finding(
            f"The model is sure of every token: {told(entropy)} nats",
            "Samples for one prompt will hardly differ, and reinforcement learning that starts here has no groups to "
            "compare. Train fewer steps before it.",
        )
