"""How well predicted rewards fit outcomes, and what else they go with."""

from collections.abc import Sequence

import numpy as np

from align.evaluation.statistics.metrics import Values


def prediction_metrics(
    predictions: Values,
    labels: Values,
    outcome: Values,
    confounders: Values,
    names: Sequence[str],
) -> dict[str, float]:
    """Computes the error of predictions, and what they go with.

    Args:
        predictions: `(N,)`.
        labels: `(N,)` standardised corrected outcomes.
        outcome: `(N,)` as observed.
        confounders: `(N, K)`.
        names: Of the K confounders.

    Returns:
        `deconfound/mse`, and correlations of the predictions with the corrected and the observed outcome and with each
        confounder; beside the last, those of the corrected outcome, which predictions without a lean share. One that
        is not defined is left out.
    """
    found = {
        "deconfound/mse": float(((predictions - labels) ** 2).mean()),
        "deconfound/correlation_corrected": _correlation(predictions, labels),
        "deconfound/correlation_outcome": _correlation(predictions, outcome),
    }
    for name, column in zip(names, confounders.T, strict=True):
        found[f"deconfound/correlation_{name}"] = _correlation(predictions, column)
        found[f"deconfound/target_{name}"] = _correlation(labels, column)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _correlation(one: Values, other: Values) -> float:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    one, other = (each.astype(float) / np.abs(each).max() for each in (one, other))  # squares that fit, in any unit
    return float(np.corrcoef(one, other)[0, 1])
