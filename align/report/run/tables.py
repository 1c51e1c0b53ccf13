"""An evaluation as tables: metrics by policy, and paired differences."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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


def headline(evaluation: Mapping[str, Any]) -> Table | None:
    """Arranges the summaries of an evaluation as a table, known metrics first."""
    summaries = {name: entry.get("summary", {}) for name, entry in _entries(evaluation)}
    return _table(summaries, signed_from=len(summaries)) if any(summaries.values()) else None


def differences(evaluation: Mapping[str, Any]) -> Table | None:
    """Arranges the paired differences of an evaluation as a table with a column `A - B` per pair."""
    pairs = {
        f"{name} - {other}": metrics
        for name, entry in _entries(evaluation)
        for other, metrics in entry.get("difference_to", {}).items()
    }
    return _table(pairs, signed_from=0) if pairs else None


def _entries(evaluation: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Lists what was measured of each; what an evaluation says about itself stands beside them."""
    return [(name, entry) for name, entry in evaluation.items() if isinstance(entry, Mapping) and "summary" in entry]


def _table(columns: Mapping[str, Mapping[str, Sequence[float]]], signed_from: int) -> Table:
    present = {metric for cells in columns.values() for metric in cells}
    ordered = [metric for metric in _METRICS if metric in present] + sorted(present - set(_METRICS))
    rows = []
    for metric in ordered:
        found = explain(metric)
        label, meaning = (found.label, found.meaning) if found else (metric, "")
        cells = [_estimate(name, metric, cells.get(metric)) for name, cells in columns.items()]
        rows.append(Row(label, meaning, cells))
    return Table(list(columns), rows, signed_from)


def _estimate(name: str, metric: str, cell: Sequence[float] | None) -> Estimate | None:
    if cell is None:
        return None
    if not isinstance(cell, list | tuple) or len(cell) not in (4, 5):
        raise ValueError(f"`{metric}` of {name!r} in the evaluation must be [value, low, high, n], got {cell!r}.")
    value, low, high = (math.nan if number is None else float(number) for number in cell[:3])
    return Estimate(value, low, high, *cell[3:])
