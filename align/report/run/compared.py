"""Several runs side by side: where their recipes differ, and where their numbers end."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from align.report.charts.axis import format_number
from align.report.charts.panel import Metrics, Panel
from align.report.run.facts import flat

_OWN = {"output_dir", "run_name", "hub_token", "hub_model_id", "logging_dir"}  # differ, and change nothing
_LONGEST = 200  # characters of a value
NOT_WRITTEN = "(not written)"


class SideBySide(NamedTuple):
    """A table with a column for each run."""

    columns: list[str]
    rows: list[list[str]]


def recipe_differences(recipes: Mapping[str, Mapping[str, Any]]) -> SideBySide:
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
    return SideBySide(["key", *recipes], rows)


def final_numbers(runs: Mapping[str, Metrics], panels: Sequence[Panel]) -> SideBySide:
    """Gives the mean over the last quarter of the steps of every curve that is compared."""
    steps = [max((int(series.steps[-1]) for series in metrics.values()), default=0) for metrics in runs.values()]
    rows = [["Last logged step", *(f"{step:,}" for step in steps)]]
    for panel in panels:
        found = [panel.metrics_of(metrics) for metrics in runs.values()]
        if any(found):
            values = [
                format_number(metrics[keys[0]].recent(), panel.share) if keys else "not logged"
                for keys, metrics in zip(found, runs.values(), strict=True)
            ]
            rows.append([panel.title, *values])
    return SideBySide(["", *runs], rows)


def _leaves(recipe: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in recipe.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", flat(value) if value not in (None, "", [], {}) else repr(value)
