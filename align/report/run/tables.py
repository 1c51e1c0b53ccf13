"""Tables: metrics of an evaluation by policy, paired differences, and recipes and numbers of runs side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from align.evaluation.statistics.metrics import Estimate, mean_over_seeds, told
from align.report.charts.axis import format_number
from align.report.charts.panel import Metrics, Panel
from align.report.run.facts import flat

_OWN = {"output_dir", "run_name", "hub_token", "hub_model_id", "logging_dir"}  # differ, and change nothing
_LONGEST = 200  # characters of a value
NOT_WRITTEN = "(not written)"


class Row(NamedTuple):
    """A metric in a table of estimates."""

    label: str
    meaning: str  # one line on what it counts
    cells: list[Estimate | None]  # per column; None where nothing was measured
    better: str = ""  # `higher` or `lower`, where one of them is

    def verdict(self, difference: Estimate) -> str:
        """Says whether a difference is for the better or the worse, if its interval does not hold 0."""
        side = difference.verdict() if self.better else None
        return "" if side is None else "better" if (side == "above") == (self.better == "higher") else "worse"


class MetricTable(NamedTuple):
    """Estimates by metric and column; columns from `signed_from` on are differences."""

    columns: list[str]
    rows: list[Row]
    signed_from: int

    @property
    def counted(self) -> str:
        """What all cells are over, where it is the same; else each of them says it."""
        found = {f"{cell.n:,} {cell.unit}" for row in self.rows for cell in row.cells if cell is not None}
        return found.pop() if len(found) == 1 else ""


class Grid(NamedTuple):
    """A table of words."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def recipe_differences(recipes: Mapping[str, Mapping[str, Any]]) -> Grid:
    """Lists the keys that are not the same in all recipes, by their full names.

    Example:
        >>> recipe_differences({"a": {"seed": 1, "beta": 0.0}, "b": {"seed": 2, "beta": 0.0}}).rows
        [['seed', '1', '2']]
    """
    written = [dict(_leaves(recipe)) for recipe in recipes.values()]
    keys = dict.fromkeys(key for each in written for key in each if key not in _OWN)
    rows = []
    for key in keys:
        values = [each.get(key, NOT_WRITTEN) for each in written]
        if len(set(values)) > 1:
            rows.append([key, *(value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…" for value in values)])
    return Grid(["key", *recipes], rows)


def final_numbers(runs: Mapping[str, Metrics], panels: Sequence[Panel], *, differ: Grid) -> Grid:
    """Gives the mean over the last quarter of the steps of every curve, and over runs that differ by their seed."""
    are_seeds = [row[0] for row in differ.rows] == ["seed"]
    steps = [max((int(series.steps[-1]) for series in metrics.values()), default=0) for metrics in runs.values()]
    rows = [["Last logged step", *(f"{step:,}" for step in steps), *[""] * are_seeds]]
    for panel in panels:
        found = [panel.metrics_of(metrics) for metrics in runs.values()]
        if any(found):
            values = [
                metrics[keys[0]].recent() if keys else None for keys, metrics in zip(found, runs.values(), strict=True)
            ]
            shown = ["not logged" if each is None else format_number(each, panel.share) for each in values]
            over = mean_over_seeds([each for each in values if each is not None])
            rows.append([panel.title, *shown, *[told(over, in_percent=panel.share)] * are_seeds])
    return Grid(["", *runs, *["Mean over seeds"] * are_seeds], rows)


def _leaves(recipe: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in recipe.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", flat(value) if value not in (None, "", [], {}) else repr(value)
