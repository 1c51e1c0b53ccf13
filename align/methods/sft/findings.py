"""What looks wrong in runs that learn from demonstrations."""

import numpy as np

from align.report.charts.panel import Metrics
from align.report.run.finding import Finding, percent, recent

_ROUNDED = 0.9  # of the length that the step should have; what fp32 rounds is far less
_RISEN = 1.1  # times the lowest loss on rows that are not learnt from
_FEWEST = 3  # evaluations from which a rise is told from noise
_SURE = 0.02  # nats per token


def find_demonstration_problems(metrics: Metrics, alpha: float) -> list[Finding]:
    """Lists what looks wrong in losses and in the undesirable step.

    Args:
        metrics: What the run logged.
        alpha: Length that the recipe asks of the step.
    """
    found = (_risen(metrics), _sure(metrics), _rounded(metrics, alpha))
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


def _rounded(metrics: Metrics, alpha: float) -> Finding | None:
    length = recent(metrics, "lfu/step_length")
    if not length < _ROUNDED * alpha:
        return None
    return Finding(
        f"The undesirable step has {percent(length / alpha)} of its length",
        f"Its length should be `lfu_alpha` = {alpha:g}; weights in 16 bits round the rest away. Load `dtype: "
        f"float32`, or set `lfu_mode: aux_lora`.",
    )
