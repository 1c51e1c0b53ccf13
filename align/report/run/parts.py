"""What a method puts on the page of a run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from align.methods import METHODS
from align.methods.method import Saved
from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, Panel, draw_panel
from align.report.run.finding import Finding
from align.report.run.folder import RunFolder

LENGTH = {"max_steps": "Steps asked for", "num_train_epochs": "Epochs asked for"}


class ReportParts(NamedTuple):
    """The words of a method on a page.

    Attributes:
        facts: Names to show for settings; its own ones have a line without one, too.
        charts: Draws the charts of one run, the most telling first; None for what it did not log.
        findings: Lists what looks wrong in a run.
        compared: Charts of several runs, one line for each.
        unused: Settings that a run with these settings does not use.
        describe_marks: Says what the marks in its pairs mean.
    """

    facts: Mapping[str, str] = LENGTH
    charts: Callable[[Metrics], Sequence[Chart | None]] = lambda metrics: []
    findings: Callable[[RunFolder], Sequence[Finding]] = lambda run: []
    compared: Sequence[Panel] = ()
    unused: Callable[[Mapping[str, Any]], Sequence[str]] = lambda recipe: ()
    describe_marks: Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], str] = lambda recipe, rows: ""

    def beside(self, facts: Mapping[str, str], panels: Sequence[Panel], compared: Sequence[Panel]) -> "ReportParts":
        """Adds settings to list, and charts of one run and of several, behind those that are there."""

        def charts(metrics: Metrics) -> Sequence[Chart | None]:
            return [*self.charts(metrics), *(draw_panel(panel, metrics) for panel in panels)]

        return self._replace(facts={**self.facts, **facts}, charts=charts, compared=(*self.compared, *compared))


def parts_of(recipe: Mapping[str, Any]) -> ReportParts:
    """Returns the parts of a run's method; of one that is not known here, what all runs have."""
    method = METHODS.get(str(recipe.get("method")))
    return ReportParts() if method is None else method.running(Saved(recipe)).part("report")
