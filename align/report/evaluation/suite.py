"""Policies that a suite with rows of its own measured, on the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from align.evaluation.record import Record
from align.evaluation.record.record import About
from align.report.charts.axis import format_number
from align.report.evaluation.items import Row, Shown, cut, note_items, pick_outcomes
from align.report.evaluation.measured import Numbers, verdicts
from align.report.evaluation.view import Own, Side
from align.report.run.facts import flat

_MOST_ROWS, _MOST_FACT = 6, 300  # of a model; characters
_LONG = 200  # characters
_APART = ("id", "group", "model", "prompt", "completion", "correct")  # columns with a place of their own


def of_suite(path: Path, record: Record, numbers: Numbers) -> Own:
    """Arranges what the page has of its own."""
    picked = pick_outcomes(path, numbers.names, record.paired, _item)
    headline = [metric for metric in _headline(record) if metric in numbers.values[numbers.names[0]]]
    settings, labels = _settings(record.about), {metric: numbers.words.label(metric) for metric in headline}
    return Own(
        noun="items",
        label=record.about.rows.capitalize(),
        headline=headline,
        shares=record.shares,
        verdict=verdicts(numbers, labels, record.shares, show=None),
        facts={name: text for name, text in settings.items() if not _is_long(text)},
        details={name: text for name, text in settings.items() if _is_long(text)},
        items=picked,
        items_note=note_items(picked, "item", record.paired, "wrong and right ones"),
    )


def _headline(record: Record) -> list[str]:
    """Lists the metrics to show first; a name that ends in a slash stands for all that begin so."""
    measured = list(
        dict.fromkeys(name for suite in record.suites.values() for cells in suite.values() for name in cells)
    )
    return [
        metric
        for name in record.about.headline
        for metric in measured
        if metric == name or (name.endswith("/") and metric.startswith(name))
    ]


def _item(by_model: Mapping[str, Sequence[Row]]) -> Shown:
    sides = [
        _side(model if len(rows) == 1 else f"{model} ({number})", each)
        for model, several in by_model.items()
        for rows in (several[:_MOST_ROWS],)
        for number, each in enumerate(rows, 1)
    ]
    return Shown(cut(next(iter(by_model.values()))[0].get("prompt")), sides)


def _side(name: str, row: Row) -> Side:
    facts = {
        column.replace("_", " "): _fact(value)
        for column, value in row.items()
        if column not in _APART and value is not None
    }
    is_right = row.get("correct")
    verdict = "" if is_right is not None else "measured"
    return Side(name, bool(is_right), facts, "", cut(row.get("completion")), False, verdict)


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format_number(value)
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _MOST_FACT else f"{text[:_MOST_FACT]}..."


def _settings(about: About) -> dict[str, str]:
    given = {name: value for name, value in about.settings.items() if value not in (None, [], {})}
    return {name: flat(value) if isinstance(value, dict) else str(value) for name, value in given.items()}


def _is_long(text: str) -> bool:
    """Whether a setting, such as a prompt of several lines, is too long for a list of facts."""
    return "\n" in text.strip() or len(text) > _LONG
