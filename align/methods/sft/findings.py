"""What looks wrong in runs that learn from demonstrations."""

import numpy as np

from align.report.charts.panel import Metrics
from align.report.run.finding import Finding, recent

_RISEN = 1.1  # times the lowest loss on rows that are not learnt from
_FEWEST = 3  # evaluations from which a rise is told from noise
_SURE = 0.02  # nats per token


def find_demonstration_problems(metrics: Metrics) -> list[Finding]:
    """Lists what looks wrong in losses and entropy."""
    found = (_risen(metrics), _sure(metrics))
    return [finding for finding in found if finding]


def _risen(metrics: Metrics) -> Finding | None:
    if "eval_loss" not in metrics:
        return None
    values = metrics["eval_loss"].values[np.isfinite(metrics["eval_loss"].values)]
    if len(values) < _FEWEST or not values[-1] > _RISEN * values.min():
        return None
    return Finding(
        f"The loss on evaluation rows rose from {values.min():.3g} to {values[-1]:.3g}",
        "The demonstrations are learnt by heart. Stop earlier, with `load_best_model_at_end: true`, fewer epochs or a "
        "lower `learning_rate`, or give more of them.",
    )


def _sure(metrics: Metrics) -> Finding | None:
    entropy = recent(metrics, "entropy")
    if not entropy < _SURE:
        return None
    return Finding(
        f"The model is sure of every token: {entropy:.2g} nats",
        "Samples for one prompt will hardly differ, and reinforcement learning that starts here has no groups to "
        "compare. Train fewer steps before it.",
    )
