"""What looks wrong in runs that train a reward model on corrected outcomes."""

from align.methods.deconfound.panels import CORRECTED, LEAN, MSE, OUTCOME, TARGET, confounders_of
from align.report.charts.panel import Metrics
from align.report.run.finding import Finding, recent

_BY_HEART = 0.7  # error in training over that on held-out rows
_NOTHING = 0.98  # of the error of predicting the mean
_LEAN = 0.1  # correlation with a confounder, as far as the corrected outcome does not explain it


def find_outcome_problems(metrics: Metrics) -> list[Finding]:
    """Lists what looks wrong in errors and correlations."""
    found = (
        _learns_nothing(metrics),
        _learns_by_heart(metrics),
        *(_leans(metrics, n) for n in confounders_of(metrics)),
    )
    return [finding for finding in found if finding]


def _learns_nothing(metrics: Metrics) -> Finding | None:
    error = recent(metrics, MSE)
    if not error > _NOTHING:
        return None
    return Finding(
        f"The squared error is {error:.2g}, no better than predicting the mean",
        "The texts say nothing about the corrected outcome, or the model has not learnt yet. Train longer, raise "
        "`learning_rate`, or look whether ridge regression on the words (`align deconfound --estimator dml`) finds "
        "something: its report gives the share of the outcome that the text explains.",
    )


def _learns_by_heart(metrics: Metrics) -> Finding | None:
    trained, held_out = recent(metrics, MSE), recent(metrics, f"eval_{MSE}")
    if not trained < _BY_HEART * held_out:
        return None
    return Finding(
        f"The squared error is {trained:.2g} in training and {held_out:.2g} on held-out rows",
        "Larger models learn outcomes by heart, their noise included. Train for one pass, lower `learning_rate`, or "
        "raise `weight_decay`.",
    )


def _leans(metrics: Metrics, name: str) -> Finding | None:
    """Compares the lean with the most that the labels explain: their own correlation, freed of the labels' noise."""
    lean, target = recent(metrics, f"{LEAN}{name}"), recent(metrics, f"{TARGET}{name}")
    fit = recent(metrics, CORRECTED)
    explained = abs(target) / fit if fit > 0 else abs(target)
    if not abs(lean) > explained + _LEAN:
        return None
    return Finding(
        f"Predictions go with {name} at {lean:.2g}, and the corrected outcome at {target:.2g}",
        f"The reward leans on {name} more than what it was trained on. If `{OUTCOME}` is above `{CORRECTED}`, the "
        "correction removed too little; compare estimators with `align deconfound`.",
    )
