"""One chart of a report as data: its words, and the metrics in it."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

from align.report.charts.drawing import NUM_COLOURS, Chart, Line, draw_chart
from align.report.run.folder import Series

Metrics = Mapping[str, Series]


class Panel(NamedTuple):
    """A chart and the metrics in it, by their name in the legend; what a run did not log is left out."""

    title: str  # with its unit
    note: str  # how to read it, one sentence
    keys: dict[str, str]  # metric to name in the legend
    beside: str = ""  # only for runs that logged this too: a loss, say, means something else in each method
    share: bool = False  # whether values lie in 0..1
    stacked: bool = False  # whether the metrics add up; then all of them must be there
    colours: Sequence[int] = range(NUM_COLOURS)  # one per key

    def metrics_of(self, metrics: Metrics) -> list[str]:
        """Lists the keys that a run has for this chart."""
        if self.beside and self.beside not in metrics:
            return []
        return [key for key in self.keys if key in metrics]


def draw_panel(panel: Panel, metrics: Metrics) -> Chart | None:
    """Draws the chart of one run, or None if the run did not log what it needs; evaluation is dashed."""
    found = panel.metrics_of(metrics)
    if not found or (panel.stacked and len(found) < len(panel.keys)):
        return None
    colours = dict(zip(panel.keys, cycle(panel.colours), strict=False))
    lines = [Line(panel.keys[key], metrics[key], colours[key]) for key in found]
    if not panel.stacked:
        held_out = [key for key in found if f"eval_{key}" in metrics]
        for key in held_out:
            lines.append(Line(f"{panel.keys[key]}, evaluation", metrics[f"eval_{key}"], colours[key], dashed=True))
    return draw_chart(panel.title, panel.note, lines, share=panel.share, stacked=panel.stacked)


def draw_comparison(panel: Panel, runs: Mapping[str, Metrics]) -> Chart | None:
    """Draws one line per run for a panel with a single metric, or None if no run logged it."""
    lines = [
        Line(name, metrics[key], colour % NUM_COLOURS, dashed=colour // NUM_COLOURS % 2 == 1)
        for colour, (name, metrics) in enumerate(runs.items())
        for key in panel.metrics_of(metrics)
    ]
    return draw_chart(panel.title, panel.note, lines, share=panel.share) if lines else None
