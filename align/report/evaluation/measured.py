"""Estimates by metric and model, arranged as tables, charts and sentences."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from align.evaluation.record import Record
from align.evaluation.record.record import PairedAnswers
from align.evaluation.statistics.glossary import Meaning, better_of, entry_of
from align.evaluation.statistics.metrics import Estimate, told
from align.report.charts.curve import Curve
from align.report.charts.drawing import Chart
from align.report.charts.interval import Interval, draw_intervals
from align.report.run.tables import MetricTable, Row

Cells = Mapping[str, Mapping[str, Estimate | None]]  # by column, then metric
_MOST_LABELS = 24  # of a chart
_ROUNDING = 1e-9  # of differences of values of the same items


@dataclass(frozen=True)
class MetricWords:
    """Labels and meanings of metrics; an entry that ends in `/`, `_` or `@` is of all metrics that begin so."""

    glossary: Mapping[str, Meaning]
    sides: Mapping[str, str] = field(default_factory=dict)  # which values of a reward are better, by its name

    def label(self, metric: str) -> str:
        """Names a metric for a reader."""
        entry, rest = self._entry(metric)
        label = metric if entry is None else entry.label
        prefix = metric.removesuffix(rest)
        if rest and prefix.endswith("@"):  # `pass@` and what k is
            number, _, rest = rest.partition("/")
            label = f"{prefix}{number}"
        return f"{label}: {rest}" if rest else label

    def family(self, prefix: str) -> str:
        """Names all metrics that begin with a prefix and a slash."""
        entry = self.glossary.get(f"{prefix}/")
        return self.label(prefix) if entry is None else entry.label

    def row(self, metric: str, cells: list[Estimate | None]) -> Row:
        """Makes the row of a table."""
        entry, _ = self._entry(metric)
        if entry is None:
            return Row(metric, "", cells)
        better = better_of(entry, metric, self.sides) or ""
        better = "" if metric.endswith("/proxy") else better  # a judge's word is no quality
        return Row(self.label(metric), entry.meaning, cells, better)

    def _entry(self, metric: str) -> tuple[Meaning | None, str]:
        """Finds the entry of a metric, or the longest that it begins with, and what comes after that."""
        found = entry_of(metric, self.glossary)
        return (None, "") if found is None else (self.glossary[found], metric.removeprefix(found))


def arrange(metrics: Sequence[str], numbers: "Numbers") -> MetricTable:
    """Arranges metrics as rows, by model and by difference; a family's meaning is written in its first row only."""
    rows, seen = [], set()
    for metric in metrics:
        columns = (*numbers.values.values(), *numbers.differences.values())
        row = numbers.words.row(metric, [column.get(metric) for column in columns])
        rows.append(row if row.meaning not in seen else row._replace(meaning=""))
        seen.add(row.meaning)
    return MetricTable([*numbers.values, *numbers.differences], rows, signed_from=len(numbers.values))


def count_compared(differences: Cells) -> str:
    """Says how many metrics were compared, and how often chance alone tells a difference; nothing without any.

    Example:
        >>> count_compared({"a - b": {"accuracy": Estimate(0.1, 0.0, 0.2, 90), "gap": None}})
        '1 metric was compared. Where nothing differs, about 1 of 20 such intervals leaves out 0 by chance.'
    """
    compared = [metric for cells in differences.values() for metric, cell in cells.items() if cell is not None]
    if not compared:
        return ""
    count = len(set(compared))
    times = f", {len(compared):,} differences in all" if len(compared) > count else ""
    return (
        f"{count:,} {'metric was' if count == 1 else 'metrics were'} compared{times}. Where nothing differs, about 1 "
        "of 20 such intervals leaves out 0 by chance."
    )


def draw_metrics(
    title: str, note: str, metrics: Sequence[str], columns: Cells, labels: Mapping[str, str], shares: Collection[str]
) -> list[Chart]:
    """Draws the metrics that have an interval, one line each, a dot per column; shares have an axis of their own."""
    charts = []
    for is_share in (True, False):
        points = [
            Interval(labels[metric], name, cell.value, cell.low, cell.high)
            for metric in [metric for metric in metrics if (metric in shares) is is_share][:_MOST_LABELS]
            for name, cells in columns.items()
            if (cell := cells.get(metric)) is not None
        ]
        if points:
            unit = "share" if is_share else "value"
            charts.append(draw_intervals(title, note, points, unit, share=is_share, order=list(columns)))
    return charts


def families(metrics: Sequence[str]) -> dict[str, list[str]]:
    """Groups metrics by what is before a slash; metrics without one come first, under an empty name.

    Example:
        >>> families(["accuracy", "accuracy/a", "accuracy/b", "gap"])
        {'': ['accuracy', 'gap'], 'accuracy': ['accuracy/a', 'accuracy/b']}
    """
    groups: dict[str, list[str]] = {"": []}
    for metric in metrics:
        groups.setdefault(metric.partition("/")[0] if "/" in metric else "", []).append(metric)
    return {name: members for name, members in groups.items() if members}


def known(estimate: Estimate) -> Estimate | None:
    """Returns an estimate, or None where nothing was measured."""
    return None if math.isnan(estimate.value) else estimate


def all_known(cells: Mapping[str, Estimate]) -> dict[str, Estimate | None]:
    """Returns the estimates of one model, None where nothing was measured."""
    return {metric: known(cell) for metric, cell in cells.items()}


def curve_of(
    label: str, cells: Iterable[tuple[float, Estimate | None]], colour: int, *, dashed: bool = False
) -> list[Curve]:
    """Makes a curve of estimates by their place; none where nothing was measured."""
    measured = [(place, cell) for place, cell in cells if cell is not None and known(cell)]
    if not measured:
        return []
    y, low, high = zip(*(cell[:3] for _, cell in measured), strict=True)
    return [Curve(label, [place for place, _ in measured], y, low, high, colour, dashed)]


def best_of(cells: Mapping[str, Estimate | None], kind: str = "") -> list[tuple[int, Estimate | None]]:
    """Returns the metrics `best_of_<n>` of one model by n, or those of a kind, such as `/oracle`."""
    ends = {metric.removeprefix("best_of_"): cell for metric, cell in cells.items() if metric.startswith("best_of_")}
    named = {end.removesuffix(kind): cell for end, cell in ends.items() if end.endswith(kind)}
    return [(int(n), cell) for n, cell in named.items() if n.isdigit()]


class Numbers(NamedTuple):
    """What was measured."""

    names: list[str]  # of the models, the one asked about first; the others are its baselines
    values: Cells  # by model and metric
    differences: Cells  # by pair of models, as `a - b`, and metric
    words: MetricWords

    def of_first(self, metric: str) -> Estimate | None:
        """Returns what the model asked about has."""
        return self.values[self.names[0]].get(metric)


def collect(record: Record, words: MetricWords) -> Numbers:
    """Arranges what was measured."""
    differences = {f"{model} - {other}": all_known(cells) for (model, other), cells in record.differences().items()}
    return Numbers(record.names, {name: all_known(record.summary(name)) for name in record.names}, differences, words)


def won_and_lost(pair: PairedAnswers) -> str:
    """Counts the items won and lost, with the p-value where each answer is right or wrong."""
    p = pair.mcnemar_p
    test = "" if p is None else f" (McNemar p {'below 0.001' if p < 0.001 else f'= {p:.3f}'})"
    return f", {len(pair.wins):,} item{'' if len(pair.wins) == 1 else 's'} won and {len(pair.losses):,} lost{test}"


def verdicts(
    numbers: Numbers,
    labels: Mapping[str, str],
    shares: Collection[str],
    paired: Sequence[PairedAnswers] = (),
    more: Callable[[PairedAnswers], str] = won_and_lost,
) -> Iterator[str]:
    """Says of each metric, by its label, what the first model has, beside each baseline, and `more` of won items."""
    model, *baselines = numbers.names
    for metric, label in labels.items():
        ours, is_share = numbers.of_first(metric), metric in shares
        if ours is None:
            yield f"{label}: not measured."
            continue
        if not baselines:
            shown = told(ours, in_percent=is_share)
            yield f"{label}: {shown} for {model}; there is no baseline to compare with."
        for baseline in baselines:
            theirs = numbers.values[baseline].get(metric)
            difference = numbers.differences.get(f"{model} - {baseline}", {}).get(metric)
            if theirs is not None and difference is not None:
                said = compared(model, ours, baseline, theirs, difference, is_share=is_share)
                pairs = [each for each in paired if (each.baseline, each.metric) == (baseline, metric)]
                yield f"{label}: {said}{''.join(map(more, pairs))}."


def main_charts(metrics: Sequence[str], numbers: Numbers, shares: Collection[str]) -> tuple[list[Chart], list[Chart]]:
    """Draws the main metrics, and their differences; see `draw_metrics`."""
    labels = {metric: numbers.words.label(metric) for metric in metrics}
    first = next(iter(numbers.differences.values()), {})
    by_size = sorted(metrics, key=lambda metric: -cell.value if (cell := first.get(metric)) else math.inf)
    note = "Dots are estimates, bars their 95 % intervals."
    told_note = f"{note} A bar that does not touch 0 is a difference that can be told."
    return (
        draw_metrics("Main metrics", note, metrics, numbers.values, labels, shares),
        draw_metrics("Differences on the same items", told_note, by_size, numbers.differences, labels, shares),
    )


def apart(difference: Estimate, *, is_share: bool) -> str:
    """Says how far two values lie apart, shares in points, if that can be told.

    Example:
        >>> apart(Estimate(0.18, 0.14, 0.22, 1000), is_share=True)
        'a difference of 18.00 [14.00, 22.00] points'
        >>> apart(Estimate(0.01, -0.02, 0.04, 1000), is_share=False)
        'no difference can be told: 0.01 [-0.02, 0.04]'
    """
    hundred = 100 if is_share else 1
    value, low, high = (hundred * each for each in difference[:3])
    scaled = Estimate(value, low, high, difference.n, difference.unit)
    said = "a difference of" if difference.verdict() else "no difference can be told:"
    return f"{said} {scaled}{' points' * is_share}"


def compared(
    model: str,
    ours: Estimate,
    baseline: str,
    theirs: Estimate,
    difference: Estimate,
    *,
    is_share: bool,
) -> str:
    """Says what two models have, how far they lie apart, and of how many items if not the same.

    Example:
        >>> difference = Estimate(0.2, 0.1, 0.3, 90)
        >>> compared("a", Estimate(0.7, 0.6, 0.8, 90), "b", Estimate(0.5, 0.4, 0.6, 90), difference, is_share=True)
        '70.0 % for a, 50.0 % for b; a difference of 20.00 [10.00, 30.00] points'
        >>> compared("a", Estimate(0.9, 0.8, 1.0, 95), "b", Estimate(0.5, 0.4, 0.6, 90), difference, is_share=False)
        '0.9 for a (95 items), 0.5 for b (90 items); on the 90 items of both a difference of 0.20 [0.10, 0.30]'
    """
    gap_said = apart(difference, is_share=is_share)
    own, other = (f"{100 * each.value:.1f} %" if is_share else f"{each.value:.3g}" for each in (ours, theirs))
    gap, size = ours.value - theirs.value, max(1.0, abs(ours.value), abs(theirs.value))
    if ours.n == theirs.n == difference.n or abs(gap - difference.value) < _ROUNDING * size:
        return f"{own} for {model}, {other} for {baseline}; {gap_said}"
    first, second, both = (f"{each.n:,} item{'' if each.n == 1 else 's'}" for each in (ours, theirs, difference))
    values = f"{own} for {model} ({first}), {other} for {baseline} ({second})"
    return f"{values}; on the {both} of both {gap_said}"
