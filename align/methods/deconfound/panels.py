"""The charts of runs that train a reward model on corrected outcomes."""

from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, Panel, draw_panel

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
                "Correlation with the confounder. That of the corrected outcome is what texts are worth where it is "
                f"high, and noise; predictions without noise may lie above it.{more}",
                {f"{LEAN}{name}": "predictions", f"{TARGET}{name}": "corrected outcome"},
            ),
            metrics,
        )
        for name in names[:_MOST]
    ]
