"""Estimates by metric and model, arranged as tables and charts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from align.evaluation.statistics.glossary import Meaning, better_of
from align.evaluation.statistics.metrics import Estimate
from align.report.charts.drawing import Chart
from align.report.charts.interval import Interval, draw_intervals
from align.report.run.tables import Row, Table

Cells = Mapping[str, Mapping[str, Estimate | None]]  # by column, then metric
_MOST_LABELS = 24  # of a chart


@dataclass(frozen=True)
class Words:
    """Labels and meanings of metrics; an entry that ends in `/`, `_` or `@` is of all metrics that begin so.

    Attributes:
        glossary: Them.
        sides: Which values of a reward are better, by its name, of those that are measured.
    """

    glossary: Mapping[str, Meaning]
    sides: Mapping[str, str] = field(default_factory=dict)

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
        if metric in self.glossary:
            return self.glossary[metric], ""
        prefixes = [key for key in self.glossary if key.endswith(("/", "_", "@")) and metric.startswith(key)]
        prefix = max(prefixes, key=len, default="")
        return (self.glossary[prefix], metric.removeprefix(prefix)) if prefix else (None, "")


def arrange(metrics: Sequence[str], values: Cells, differences: Cells, words: Words) -> Table:
    """Arranges metrics as rows, with a column per model and then one per difference.

    The meaning of a family of metrics is written in its first row only.
    """
    rows, seen = [], set()
    for metric in metrics:
        row = words.row(metric, [column.get(metric) for column in (*values.values(), *differences.values())])
        rows.append(row if row.meaning not in seen else row._replace(meaning=""))
        seen.add(row.meaning)
    return Table([*values, *differences], rows, signed_from=len(values))


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
    title: str,
    note: str,
    metrics: Sequence[str],
    columns: Cells,
    labels: Mapping[str, str],
    *,
    is_share: bool,
) -> Chart | None:
    """Draws the metrics that have an interval, one line each, with a dot per column; None if there is none.

    Args:
        title: Of the chart.
        note: How to read it.
        metrics: What to draw, from top to bottom.
        columns: The estimates.
        labels: Words for each metric.
        is_share: Whether they are shares, or differences of shares.
    """
    points = [
        Interval(labels[metric], name, cell.value, cell.low, cell.high)
        for metric in list(metrics)[:_MOST_LABELS]
        for name, cells in columns.items()
        if (cell := cells.get(metric)) is not None
    ]
    if not points:
        return None
    return draw_intervals(title, note, points, "share" if is_share else "value", share=is_share, order=list(columns))


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
