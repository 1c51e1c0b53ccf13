"""An evaluation as tables: metrics by policy, and paired differences."""

from collections.abc import Mapping
from typing import NamedTuple

from align.evaluation.record.models import ModelsRecord
from align.evaluation.statistics.glossary import explain
from align.evaluation.statistics.metrics import Estimate

# Of several runs side by side, in this order.
_METRICS = (
    "accuracy",
    "option_shuffle_consistency",
    "option_shuffle_consistency_all",
    "share_A",
    "trace_answer_consistency",
    "cr_wa",
    "wr_ca",
    "trace_stated",
    "answered",
)


class Row(NamedTuple):
    """A metric in a table of estimates.

    Attributes:
        label: Its name for a reader.
        meaning: One line on what it counts.
        cells: An estimate per column, `None` where nothing was measured.
        better: `higher` or `lower`, where one of them is better.
    """

    label: str
    meaning: str
    cells: list[Estimate | None]
    better: str = ""

    def verdict(self, difference: Estimate) -> str:
        """Says whether a difference is for the better or the worse, if its interval does not hold 0."""
        if not self.better or not (difference.low > 0 or difference.high < 0):
            return ""
        return "better" if (difference.low > 0) == (self.better == "higher") else "worse"


class Table(NamedTuple):
    """Estimates by metric and column; columns from `signed_from` on are differences."""

    columns: list[str]
    rows: list[Row]
    signed_from: int


def headline(evaluation: ModelsRecord) -> Table | None:
    """Arranges the summaries of an evaluation as a table, known metrics first."""
    summaries = {name: model.summary for name, model in evaluation.models.items()}
    return _table(summaries, signed_from=len(summaries)) if any(summaries.values()) else None


def differences(evaluation: ModelsRecord) -> Table | None:
    """Arranges the paired differences of an evaluation as a table with a column `A - B` per pair."""
    pairs = {
        f"{name} - {other}": metrics
        for name, model in evaluation.models.items()
        for other, metrics in model.difference_to.items()
    }
    return _table(pairs, signed_from=0) if pairs else None


def _table(columns: Mapping[str, Mapping[str, Estimate]], signed_from: int) -> Table:
    rows = []
    for metric in _ordered({metric for cells in columns.values() for metric in cells}):
        found = explain(metric)
        label, meaning = (found.label, found.meaning) if found else (metric, "")
        rows.append(Row(label, meaning, [cells.get(metric) for cells in columns.values()]))
    return Table(list(columns), rows, signed_from)


def first_metric(cells: Mapping[str, Estimate]) -> str | None:
    """Names the metric that comes first in a table; None if there is none."""
    return next(iter(_ordered(set(cells))), None)


def _ordered(metrics: set[str]) -> list[str]:
    return [metric for metric in _METRICS if metric in metrics] + sorted(metrics - set(_METRICS))
