"""The charts of a report. What a run logged decides which of them are drawn, not the name of its method."""

from collections.abc import Mapping

from align.methods.crome.panels import COMPARED_CROME, REWARD_MODEL_PANELS, source_charts
from align.methods.deconfound.panels import COMPARED_DECONFOUND, DECONFOUND_PANELS, lean_charts
from align.methods.rollouts.panels import (
    COMPARED_ACRE,
    OUTCOME_PANELS,
    ROLLOUT_PANELS,
    letter_chart,
    reward_chart,
    step_time_chart,
)
from align.methods.rollouts.reward_panels import call_charts
from align.methods.rrpo.panels import COMPARED_RRPO, RRPO_PANELS
from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, Panel, draw_comparison, draw_panel

_SHARED = (
    Panel("Gradient norm", "Before clipping.", {"grad_norm": "gradient norm"}),
    Panel("Learning rate", "As scheduled.", {"learning_rate": "learning rate"}),
)
COMPARED = (
    *COMPARED_ACRE,
    *COMPARED_RRPO,
    *COMPARED_CROME,
    *COMPARED_DECONFOUND,
    Panel("Time of a step, seconds", "On the same machine only if the runs were.", {"step_time": ""}),
)


def run_charts(metrics: Metrics) -> list[Chart]:
    """Draws the charts of one run; what it did not log is left out."""
    charts = [
        reward_chart(metrics),
        *(draw_panel(panel, metrics) for panel in OUTCOME_PANELS),
        letter_chart(metrics),
        *source_charts(metrics),
        *(draw_panel(panel, metrics) for panel in DECONFOUND_PANELS),
        *lean_charts(metrics),
        step_time_chart(metrics),
        *call_charts(metrics),
        *(draw_panel(panel, metrics) for panel in (*ROLLOUT_PANELS, *RRPO_PANELS, *REWARD_MODEL_PANELS, *_SHARED)),
    ]
    return [chart for chart in charts if chart]


def comparison_charts(runs: Mapping[str, Metrics]) -> list[Chart]:
    """Draws one line per run for the quantities that mean the same in each of them.

    Rewards of functions are left out: runs with different reward functions earn on different scales.
    """
    charts = (draw_comparison(panel, runs) for panel in COMPARED)
    return [chart for chart in charts if chart]
