"""Numbers in the columns of a table: numeric types, booleans as 0 and 1, and texts that are numbers."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.data.problems import shorten

if TYPE_CHECKING:
    import pyarrow as pa

NOT_GIVEN = ("", "na", "n/a", "nan", "null", "none")  # texts that stand for a missing number
TRUTH = {"true": 1.0, "false": 0.0}


class Unusable(NamedTuple):
    """A value that cannot be what its column is for."""

    row: int  # of the batch, from 0
    column: str
    value: str
    rule: str
    remedy: str


def read_numbers(column: "pa.Array", name: str, role: str) -> tuple[NDArray[np.float64], list[Unusable]]:
    """Reads a column as numbers.

    Args:
        column: Arrow values.
        name: Of the column.
        role: What it is for, as the message says it.

    Returns:
        `(N,)` numbers, nan where a value is missing or unusable; and what is unusable.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_boolean(column.type) or _is_number(column.type):
        return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), []
    if _is_text(column.type):
        return _parse(column, name, role)
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan), []
    is_date = pa.types.is_temporal(column.type)
    rule = f"a {'date' if is_date else column.type} is not a number, and the {role} must be one"
    remedy = "Add a column such as days since a day." if is_date else "Name a column of numbers."
    place = next((i for i, value in enumerate(column.to_pylist()) if value is not None), 0)
    return np.full(len(column), np.nan), [Unusable(place, name, shorten(column[place].as_py()), rule, remedy)]


def _parse(column: "pa.Array", name: str, role: str) -> tuple[NDArray[np.float64], list[Unusable]]:
    import pyarrow as pa
    import pyarrow.compute as compute

    try:
        return compute.cast(column, pa.float64()).to_numpy(zero_copy_only=False), []
    except pa.ArrowInvalid:
        pass
    values, bad = np.full(len(column), np.nan), []
    remedy = "Write a number; a category goes into `groups`, or into columns of 0 and 1."
    for row, text in enumerate(column.to_pylist()):
        parsed = _number(text)
        if parsed is None:
            bad.append(Unusable(row, name, shorten(text), f"the {role} is not a number", remedy))
        else:
            values[row] = parsed
    return values, bad


def _number(text: str | None) -> float | None:
    """Reads one text; nan if it stands for nothing, None if it is no number."""
    word = "" if text is None else text.strip().lower()
    if word in NOT_GIVEN:
        return float("nan")
    if word in TRUTH:
        return TRUTH[word]
    try:
        return float(word) if "_" not in word else None
    except ValueError:
        return None


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
