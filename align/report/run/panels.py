"""The charts that runs of every method have."""

from collections.abc import Mapping

from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, Panel, draw_comparison, draw_panel
from align.report.run.parts import ReportParts

_SHARED = (
    Panel("Gradient norm", "Before clipping.", {"grad_norm": "gradient norm"}),
    Panel("Learning rate", "As scheduled.", {"learning_rate": "learning rate"}),
)
_COMPARED = (Panel("Time of a step, seconds", "On the same machine only if the runs were.", {"step_time": ""}),)
_PHASES = {
    "time/generate": "generate",
    "time/second_pass": "second pass",
    "time/rewards": "rewards",
    "time/log_probs": "log-probs",
    "time/update": "update",
    "time/rest": "optimizer and rest",
}


def run_charts(parts: ReportParts, metrics: Metrics) -> list[Chart]:
    """Draws the charts of one run; what it did not log is left out."""
    charts = [*parts.charts(metrics), *(draw_panel(panel, metrics) for panel in _SHARED)]
    return [chart for chart in charts if chart]


def comparison_charts(runs: Mapping[str, tuple[ReportParts, Metrics]]) -> list[Chart]:
    """Draws one line per run for the quantities that mean the same in each of them.

    Rewards of functions are left out: runs with different reward functions earn on different scales.
    """
    panels: list[Panel] = []
    for parts, _ in runs.values():
        panels += [panel for panel in parts.compared if panel not in panels]
    metrics = {name: logged for name, (_, logged) in runs.items()}
    charts = (draw_comparison(panel, metrics) for panel in (*panels, *_COMPARED))
    return [chart for chart in charts if chart]


def step_time_chart(metrics: Metrics, whole: Panel) -> Chart | None:
    """Draws where the time of a step goes; runs that did not log its phases show the whole."""
    phases = {key: label for key, label in _PHASES.items() if key in metrics}
    if not phases:
        return draw_panel(whole, metrics)
    note = "From the end of one step to the end of the next, by what was done."
    colours = [place for place, key in enumerate(_PHASES) if key in phases]
    return draw_panel(Panel("Time of a step, seconds", note, phases, stacked=True, colours=colours), metrics)
