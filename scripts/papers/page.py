"""The page of a set: the paper's table, ours beside it with intervals, differences, and what is unlike the paper."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from align.evaluation.statistics.metrics import Estimate, mean_over_seeds
from align.report.charts.interval import Interval, draw_intervals
from align.report.page import write_page
from align.report.run.tables import Grid
from align.versions import installed_versions
from scripts.harness import with_interval
from scripts.papers.plan import Column, Numbers, PaperSet, Published

Values = dict[str, dict[str, list[float]]]  # by arm and column, one for each seed


class Compared(NamedTuple):
    """An arm less the first one in a column, here over the same seeds and in the paper."""

    arm: str
    column: Column
    here: Estimate
    there: float | None

    def __str__(self) -> str:
        side = self.here.verdict() or "not told apart"
        if math.isnan(self.here.low):
            side = "one seed, so no interval"
        paper = "" if self.there is None else f"; the paper has {self.there:+.{self.column.places}f}"
        return f"{side}: {with_interval(self.here, self.column.places)}{paper}"


def gathered(found: Sequence[Numbers]) -> Values:
    """Puts the numbers of seeds together."""
    values: Values = {}
    for numbers in found:
        for arm, columns in numbers.items():
            for column, value in columns.items():
                values.setdefault(arm, {}).setdefault(column, []).append(value)
    return values


def compare(paper: PaperSet, values: Values) -> list[Compared]:
    """Compares every arm with the first one that was run, seed by seed."""
    base, *others = values
    found = []
    for arm in others:
        for column in paper.columns:
            ours, theirs = (values[name].get(column.name, []) for name in (arm, base))
            if ours and len(ours) == len(theirs):
                differences = [one - other for one, other in zip(ours, theirs, strict=True)]
                found.append(
                    Compared(
                        arm, column, mean_over_seeds(differences), _apart(paper.published, arm, base, column.name)
                    )
                )
    return found


def _apart(published: Published | None, arm: str, base: str, column: str) -> float | None:
    if published is None:
        return None
    ours, theirs = (published.numbers.get(name, {}).get(column) for name in (arm, base))
    return None if ours is None or theirs is None else ours - theirs


def measured(paper: PaperSet, values: Values) -> list[Column]:
    """Lists the columns of which some arm has a number."""
    return [column for column in paper.columns if any(column.name in cells for cells in values.values())]


def tables(paper: PaperSet, values: Values) -> dict[str, Grid]:
    """Arranges the paper's table, ours and the differences."""
    columns = measured(paper, values)
    rows = [
        (arm, *(_shown(column, cells.get(column.name, ())) for column in columns)) for arm, cells in values.items()
    ]
    found = {"Here": Grid(("arm", *(column.name for column in columns)), rows)}
    if paper.published is not None:
        names = list(dict.fromkeys(name for cells in paper.published.numbers.values() for name in cells))
        places = {column.name: column.places for column in paper.columns}
        published = [
            (arm, *(f"{cells[name]:.{places.get(name, 2)}f}" if name in cells else "" for name in names))
            for arm, cells in paper.published.numbers.items()
        ]
        found[f"The paper's: {paper.published.source}"] = Grid(("arm", *names), published)
    return found


def _shown(column: Column, values: Sequence[float]) -> str:
    return with_interval(mean_over_seeds(list(values)), column.places) if values else "not measured"


def means(values: Values) -> Numbers:
    """Averages over seeds."""
    return {arm: {name: math.fsum(v) / len(v) for name, v in cells.items()} for arm, cells in values.items()}


def build_page(
    name: str,
    paper: PaperSet,
    values: Values,
    seeds: Sequence[int],
    lines: Sequence[str],
    out: Path,
    warning: str = "",
) -> tuple[Path, dict[str, Any]]:
    """Writes `report.html`; returns it and the numbers."""
    compared = compare(paper, values)
    first = next(iter(values))
    drawn = [each for each in compared if not math.isnan(each.here.low)]
    intervals = [Interval(each.column.name, each.arm, *each.here[:3]) for each in drawn]
    charts = []
    if intervals:
        note = f"Each arm minus `{first}` with the same seed; Student's t, 95 %; 0 is no difference."
        charts = [draw_intervals(f"Difference to {first}", note, intervals, "difference")]
    charts += paper.drawn(out, seeds)
    verdict = [
        *(f"`{each.arm}` against `{first}` in {each.column.name}: {each}." for each in compared
          if each.column is paper.columns[0]),
        *paper.said(means(values)),
    ]  # fmt: skip
    about: Mapping[str, Any] = installed_versions()
    path = write_page(
        "page.html.j2",
        out / "report.html",
        package="scripts.papers",
        title=f"{name}: {paper.title}",
        paper=paper.paper,
        verdict=verdict,
        charts=charts,
        tables=tables(paper, values),
        differences=Grid(
            (f"minus {first}", "column", "here", "the paper's"),
            [(each.arm, each.column.name, with_interval(each.here, each.column.places),
              "not found" if each.there is None else f"{each.there:+.{each.column.places}f}") for each in compared],
        ),
        columns=measured(paper, values),
        unlike=paper.unlike,
        warning=warning,
        seeds=", ".join(map(str, seeds)),
        versions={key: str(value) for key, value in about.items() if value is not None},
        lines=lines,
    )  # fmt: skip
    record = {
        "set": name,
        "seeds": list(seeds),
        "values": values,
        "differences": [
            {"arm": e.arm, "column": e.column.name, "here": e.here._asdict(), "paper": e.there} for e in compared
        ],
        "published": None if paper.published is None else paper.published._asdict(),
    }
    return path, record
