"""What runs that train a reward model on corrected outcomes put on their page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from align.evaluation.statistics.metrics import less, magnitude, told
from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, Panel, draw_panel
from align.report.run.finding import Sign, ends, held_out, last, recent
from align.report.run.folder import RunFolder
from align.report.run.method_parts import LENGTH, ReportParts, step_time_chart

MSE, CORRECTED, OUTCOME = "deconfound/mse", "deconfound/correlation_corrected", "deconfound/correlation_outcome"
LEAN, TARGET = "deconfound/correlation_", "deconfound/target_"
_MOST = 6

PANELS = (
    Panel(
        "Squared error",
        "Of the corrected outcome in standard deviations: 1 is no better than its mean. Noise in the outcome keeps it "
        "above 0.",
        {MSE: "error"},
    ),
    Panel(
        "Correlation of the predictions with the outcome",
        "With the corrected outcome, which is learnt, and with the observed one.",
        {CORRECTED: "corrected", OUTCOME: "observed"},
    ),
)
COMPARED = (
    Panel("Correlation with the corrected outcome", "In training, each run by its own correction.", {CORRECTED: ""}),
)


def confounders_of(metrics: Metrics) -> list[str]:
    """Lists the confounders that a run logged."""
    return [key.removeprefix(TARGET) for key in metrics if key.startswith(TARGET)]


def lean_charts(metrics: Metrics) -> list[Chart | None]:
    """Draws for each confounder how much predictions and labels go with it."""
    names = confounders_of(metrics)
    more = f" {len(names) - _MOST} more confounders are in metrics.jsonl." if len(names) > _MOST else ""
    return [
        draw_panel(
            Panel(
                f"Does the reward lean on {name}?",
                "Correlation with the confounder. The corrected outcome has one too, if texts are worth more where "
                f"the confounder is high. Its noise lowers that, and predictions, without it, may lie above.{more}",
                {f"{LEAN}{name}": "predictions", f"{TARGET}{name}": "corrected outcome"},
            ),
            metrics,
        )
        for name in names[:_MOST]
    ]


FACTS = {
    **LENGTH,
    "per_device_train_batch_size": "Texts per device and pass",
    "max_length": "Longest prompt and text, tokens",
}


def _charts(metrics: Metrics) -> Sequence[Chart | None]:
    panels = (draw_panel(panel, metrics) for panel in PANELS)
    return [*panels, *lean_charts(metrics), step_time_chart(metrics)]


_LEAN = 0.1  # correlation with a confounder, as far as the corrected outcome does not explain it


def _by_heart(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    error, held = last(run.metrics, MSE), held_out(run.metrics, MSE)
    if less(error, held, 0.7).high < 0:
        yield {"value": told(error), "held": told(held)}


def _leans(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    fit = recent(run.metrics, CORRECTED)
    for name in confounders_of(run.metrics):
        lean, target = last(run.metrics, f"{LEAN}{name}"), last(run.metrics, f"{TARGET}{name}")
        # The most that the labels explain is their own correlation, freed of their noise.
        if less(magnitude(lean), magnitude(target), 1 / fit if fit > 0 else 1.0).low > _LEAN:
            yield {"name": name, "value": told(lean), "target": target.value}


SIGNS = (
    Sign("The squared error is {value}, no better than predicting the mean",
         "The texts say nothing about the corrected outcome, or the model has not learnt yet. Train longer, raise "
         "`learning_rate`, or look whether ridge regression on the words (`align deconfound --estimator dml`) finds "
         "something: its report gives the share of the outcome that the text explains.", ends(MSE, above=0.98)),
    Sign("The squared error is {value} in training and {held} on held-out rows",
         "Larger models learn outcomes by heart, their noise included. Train for one pass, lower `learning_rate`, or "
         "raise `weight_decay`.", _by_heart),
    Sign("Predictions go with {name} at {value}, and the corrected outcome at {target:.2g}",
         f"The reward leans on {{name}} more than what it was trained on. If `{OUTCOME}` is above `{CORRECTED}`, the "
         "correction removed too little; compare estimators with `align deconfound`.", _leans),
)  # fmt: skip
REPORT = ReportParts(FACTS, _charts, SIGNS, COMPARED)
