"""The page of a rehearsal: the verdict, what to mend, the figure, and the numbers behind it."""

import math
from pathlib import Path

from align.rehearsal.record import Measure, RehearsalRecord
from align.report.charts.drawing import Chart
from align.report.charts.interval import Interval, draw_intervals
from align.report.page import write_page
from align.report.run.finding import LEVELS, Finding

_DRAWN = 14


def build_rehearsal_page(record: RehearsalRecord, out: Path) -> Path:
    """Writes the page."""
    return write_page(
        "rehearsal.html.j2",
        out,
        package="align.rehearsal",
        title=f"Rehearsal of {record.recipe}",
        verdict=record.verdict,
        findings=[
            Finding(_in_words(each.check), f"{each.text} `{each.fix}`" if each.fix else each.text, LEVELS[each.level])
            for each in record.sick
        ],
        notes=[each.text for each in record.found.findings if each.level == "ok"],
        charts=_charts(record.found.measures),
        measures=[(words.replace("`", ""), *rest) for words, *rest in record.numbers],
        tables=record.found.tables,
        samples=sorted(record.found.samples, key=lambda each: -sum(each["rewards"].values())),
        facts={name: str(value) for name, value in record.asked.items()},
    )


_WORDS = {  # of checks whose names are no words of the field
    "teaching": "non-zero advantages", "no spread": "zero-advantage groups", "phantom": "advantages of wrong answers",
    "of others": "other rewards' advantages", "unmoved": "paid for other than right", "asked again": "second passes",
    "flaky": "differs from itself", "unshown": "prompts not shown", "alike": "groups of one text",
}  # fmt: skip


def _in_words(name: str) -> str:
    check, slash, rest = name.replace("_", " ").partition("/")
    return f"{_WORDS.get(check, check)}{': ' * bool(slash)}{rest}"


def _charts(measures: list[Measure]) -> list[Chart]:
    shares = [each for each in measures if each.is_share and not math.isnan(each.estimate.value)][:_DRAWN]
    if not shares:
        return []
    shares.sort(key=lambda each: -each.estimate.value)
    drawn = [Interval(_in_words(each.name), "", *each.estimate[:3]) for each in shares]
    return [draw_intervals("What the run would meet", "Shares with 95 % intervals.", drawn, "share", share=True)]
