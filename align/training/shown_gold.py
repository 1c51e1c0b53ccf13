"""The right answers of a batch, for the table of completions."""

from collections.abc import Mapping, Sequence
from typing import Any

GOLD_COLUMN = "gold"
# What data sets call it; TRL's own reward reads `solution`.
_NAMES = (GOLD_COLUMN, "answer", "solution", "ground_truth", "reference")


def right_answers(rows: Sequence[Mapping[str, Any]]) -> list[str | None] | None:
    """Returns the right answer of every row, in words; None if the rows have none.

    Example:
        >>> right_answers([{"prompt": "1 + 1", "answer": 2}, {"prompt": "?", "answer": None}])
        ['2', None]
    """
    name = next((name for name in _NAMES if rows and name in rows[0]), None)
    if name is None:
        return None
    return [None if row.get(name) is None else str(row[name]) for row in rows]
