"""The page of a rehearsal: the verdict, what to mend, the figure, and the numbers behind it."""

import math
from pathlib import Path

from align.rehearsal.record import Measure, RehearsalRecord
from align.report.charts.drawing import Chart
from align.report.charts.interval import Interval, draw_intervals
from align.report.page import write_page
from align.report.run.finding import Finding

_DRAWN = 14


def build_rehearsal_page(record: RehearsalRecord, out: Path) -> Path:
    """Writes the page."""
    return write_page(
        "rehearsal.html.j2",
        out,
        package="align.rehearsal",
        title=f"Rehearsal of {record.recipe}",
        verdict=record.verdict,
        findings=[Finding(f"{each.level.capitalize()}: {each.check}", each.text) for each in record.sick],
        fixes=[each.fix for each in record.sick],
        notes=[each.text for each in record.found.findings if each.level == "ok"],
        charts=_charts(record.found.measures),
        measures=[(words.replace("`", ""), *rest) for words, *rest in record.numbers],
        tables=record.found.tables,
        samples=record.found.samples,
        facts={name: str(value) for name, value in record.asked.items()},
    )


def _charts(measures: list[Measure]) -> list[Chart]:
    shares = [each for each in measures if each.is_share and not math.isnan(each.estimate.value)][:_DRAWN]
    if not shares:
        return []
    drawn = [Interval(each.name.replace("_", " ").replace("/", ": "), "", *each.estimate[:3]) for each in shares]
    return [draw_intervals("What the run would meet", "Shares with 95 % intervals.", drawn, "share", share=True)]
