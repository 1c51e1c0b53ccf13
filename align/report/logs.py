"""The page of logs side by side: differences on the same documents, and what could not be matched."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from align.logs.changed import cut_line
from align.logs.comparison import Comparison, Difference, left_out, verdicts
from align.report.charts.drawing import Chart
from align.report.charts.interval import Interval, draw_intervals
from align.report.evaluation.view import Grid, Item, Side
from align.report.page import write_page
from align.report.run.finding import Finding
from align.report.run.tables import MetricTable, Row

_DRAWN = 24  # differences of a chart


def build_logs_page(comparison: Comparison, out: Path) -> Path:
    """Writes the page of a comparison."""
    first = next(iter(comparison.logs))
    return write_page(
        "logs.html.j2",
        out,
        title=" vs ".join(comparison.logs),
        verdict=verdicts(comparison),
        findings=[
            *_unmatched(comparison),
            *_unscored(comparison.differences),
            *(Finding("Of a log", each) for each in comparison.sentences),
        ],
        charts=_charts(comparison),
        tables=[
            (task, _table(comparison, task)) for task in dict.fromkeys(each.task for each in comparison.differences)
        ],
        tests=_tests(comparison.differences),
        groups=_groups(comparison.differences),
        changes=[
            (f"{each.task} {each.metric}, {each.log}: {each.won:,} won, {each.lost:,} lost", _items(each, first))
            for each in comparison.differences
            if each.wins or each.losses
        ],
        logs=Grid(("log", "read as", "from"), [(n, comparison.tools[n], path) for n, path in comparison.logs.items()]),
        first=first,
    )


def _items(each: Difference, first: str) -> list[Item]:
    """Shows what was asked of the documents that were won or lost, and both answers."""
    return [
        Item(
            changed.asked or changed.name,
            [
                Side(side, score == max(changed.scores), {}, "", said or "(not in the log)", False, f"{score:g}")
                for side, score, said in zip((first, each.log), changed.scores, changed.answers, strict=True)
            ],
            why=why,
            id=cut_line(changed.asked or changed.name),
        )
        for why, some in (("won", each.wins), ("lost", each.losses))
        for changed in some
    ]


def _unmatched(comparison: Comparison) -> list[Finding]:
    found = []
    for each in comparison.matched:
        if sentence := left_out(each, comparison):
            title, _, rest = sentence.partition("; ")
            names = [*each.not_in_this[:3], *each.not_in_first[:3]]
            found.append(Finding(title, f"{rest} Such as: {'; '.join(names)}."))
        if each.averaged:
            sentence = "Several answers to one document are averaged, so it counts once."
            found.append(Finding(f"{each.task}: {each.averaged:,} documents have several answers", sentence))
    return found


def _unscored(differences: Sequence[Difference]) -> Iterator[Finding]:
    for each in differences:
        if each.unscored is not None:
            lacks = f"{each.unscored.first:,} of the first log and {each.unscored.this:,} of `{each.log}`"
            sentence = f"Documents without a score: {lacks}. Such as: {'; '.join(each.unscored.names[:3])}."
            yield Finding(f"{each.task}: scores of {each.metric} are missing", sentence)


def _charts(comparison: Comparison) -> list[Chart]:
    drawn = [each for each in comparison.differences if each.difference.low == each.difference.low]
    shares = [each for each in drawn if each.difference.low >= -1 and each.difference.high <= 1]
    if not shares:
        return []
    farthest = sorted(shares, key=lambda each: -abs(each.difference.value))[:_DRAWN]
    several = len({each.task for each in shares}) > 1
    intervals = [
        Interval(f"{each.task}: {each.metric}" if several else each.metric, each.log, *each.difference[:3])
        for each in sorted(farthest, key=lambda each: -each.difference.value)
    ]
    first = next(iter(comparison.logs))
    note = f"Each log minus `{first}`, with 95 % intervals over documents; 0 is no difference."
    return [draw_intervals("Difference on the same documents", note, intervals, "difference")]


def _table(comparison: Comparison, task: str) -> MetricTable:
    names = list(comparison.logs)
    columns = [*names, *(f"{name} - {names[0]}" for name in names[1:])]
    rows = []
    mine = [each for each in comparison.differences if each.task == task]
    for metric in dict.fromkeys(each.metric for each in mine):
        by_log = {each.log: each for each in mine if each.metric == metric}
        one = next(iter(by_log.values()))
        means = [one.first, *(by_log[name].mean if name in by_log else None for name in names[1:])]
        apart = [by_log[name].difference if name in by_log else None for name in names[1:]]
        rows.append(Row(metric, "", [*means, *apart]))
    return MetricTable(columns, rows, len(names))


def _tests(differences: Sequence[Difference]) -> Grid:
    columns = (
        "task and metric",
        "log",
        "won",
        "lost",
        "tied",
        "p",
        "p, of all",
        "test",
        "documents that would tell it",
    )
    rows = [
        (f"{each.task} {each.metric}", each.log, f"{each.won:,}", f"{each.lost:,}", f"{each.tied:,}",
         f"{each.p_value:.3g}", f"{each.adjusted:.3g}", "McNemar" if each.is_exact else "t-test",
         "" if each.needed is None else f"{each.needed:,}")
        for each in differences
    ]  # fmt: skip
    return Grid(columns, rows)


def _groups(differences: Sequence[Difference]) -> Grid | None:
    rows = [
        (f"{each.task} {each.metric}", each.log, group, str(found), f"{found.n:,}")
        for each in differences
        for group, found in each.groups.items()
    ]
    return Grid(("task and metric", "log", "group", "difference", "documents"), rows) if rows else None
