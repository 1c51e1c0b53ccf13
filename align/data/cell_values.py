from contextlib import suppress
from typing import Any

from align.data.columns import Columns
from align.data.csv_rows import parse_cell
from align.data.problems import Row
from align.data.question_checks import CSV_TRUTH

TRUTHS = ("tie", "correct")
READ = {"pairs": ("tie", "margin"), "sft": ("correct",), "questions": ("answer",)}


def as_values(row: Row, kind: str, columns: Columns, gold: int | None = None) -> dict[str, Any]:
    """Writes truth values, margins, indices of answers and lists of a CSV row as such; `gold` is the option meant.

    Example:
        >>> as_values({"id": "007", "tie": "True", "margin": ""}, "pairs", {})
        {'id': '007', 'tie': True, 'margin': ''}
    """
    values = dict(row.items())
    for ours in {*columns, *READ.get(kind, ())}:
        name = columns.get(ours, ours)
        if isinstance(name, str) and isinstance(cell := row.get(name), str):
            values[name] = _value(ours, cell, gold) if ours in READ.get(kind, ()) else parse_cell(ours, cell)
    return values


def _value(column: str, cell: str, gold: int | None) -> Any:
    if column in TRUTHS:
        return CSV_TRUTH.get(cell.strip().lower(), cell)
    if column == "answer":
        return gold if cell.strip().isdecimal() and int(cell) == gold else cell
    with suppress(ValueError):
        return float(cell)
    return cell
