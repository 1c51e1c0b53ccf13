"""One HTML file about a correction: what was removed from the outcome, and whether to believe it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from align.methods.deconfound.correction_tables import in_grpo, sections
from align.report.charts.drawing import Chart
from align.report.charts.interval import Interval, draw_intervals
from align.report.page import write_page
from rewards.correction import Correction

_MOST_CHARTS = 6


def build_correction_page(
    correction: Correction, numbers: Mapping[str, Any], facts: Mapping[str, str], notes: Sequence[str], out: Path
) -> Path:
    """Writes the page.

    Args:
        correction: The fitted correction.
        numbers: As `align.methods.deconfound.correction.diagnosing.diagnose` returns them.
        facts: What was read and fitted, by the name to show.
        notes: What the reader should know beside the correction's own warnings.
        out: The HTML file.
    """
    return write_page(
        "correction.html.j2",
        out,
        package="align.methods.deconfound",
        title=f"Correction of {facts['Outcome']}",
        facts=facts,
        warnings=[*correction.warnings, *notes],
        correction=correction,
        fell_back=correction.requested if correction.estimator != correction.requested else "",
        charts=_charts(correction, numbers),
        sections=sections(correction, numbers),
        in_grpo=in_grpo(numbers),
    )


def _charts(correction: Correction, numbers: Mapping[str, Any]) -> list[Chart]:
    before_after = [
        Interval(each["name"], series, each["correlation"], each["low"], each["high"])
        for series, key in (("outcome", "before"), ("corrected reward", "after"))
        for each in numbers[key]
        if each["correlation"] is not None
    ]
    if not before_after:
        return []
    note = "With 95 % intervals. What is left may be the worth of the texts that go with a confounder."
    charts = [draw_intervals("Association with the confounders", note, before_after, "correlation")]
    note = "With 95 % intervals. `none` removes nothing."
    for place, name in enumerate(correction.confounders[:_MOST_CHARTS]):
        estimates = [
            Interval(each["estimator"], "", each["coefficients"][place], *each["intervals"][place])
            for each in numbers["sensitivity"]["estimates"]
        ]
        charts.append(draw_intervals(f"Effect of {name} by estimator", note, estimates, "outcome per unit"))
    return charts
