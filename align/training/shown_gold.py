"""The right answers of a batch, for the table of completions."""

from collections.abc import Mapping, Sequence
from typing import Any

from rewards.reading.options import LETTERS

GOLD_COLUMN = "gold"
# What data sets call it; TRL's own reward reads `solution`.
_NAMES = (GOLD_COLUMN, "answer", "solution", "ground_truth", "reference")


def right_answers(rows: Sequence[Mapping[str, Any]]) -> list[str | None] | None:
    """Returns the right answer of every row, in words; None if the rows have none.

    Example:
        >>> right_answers([{"prompt": "1 + 1", "answer": 2}, {"prompt": "?", "answer": None}])
        ['2', None]
        >>> right_answers([{"options": ["tin", "iron"], "answer": 1}])
        ['B. iron']
    """
    name = next((name for name in _NAMES if rows and name in rows[0]), None)
    return None if name is None else [_in_words(row.get(name), row.get("options")) for row in rows]


def _in_words(answer: Any, options: Any) -> str | None:
    if answer is None:
        return None
    if isinstance(answer, int) and isinstance(options, Sequence) and 0 <= answer < len(options):
        return f"{LETTERS[answer]}. {options[answer]}" if answer < len(LETTERS) else str(options[answer])
    return str(answer)
