"""Texts and labels in the columns of a table; one that is blank counts as missing."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align.data.problems import shorten
from align.data.tables.numeric_columns import Unusable
from align.data.texts import is_blank

if TYPE_CHECKING:
    import pyarrow as pa


def read_texts(column: "pa.Array", name: str, role: str, unusable: list[Unusable]) -> NDArray[np.object_]:
    """Reads a column as texts, None where one is missing; adds what is no text to `unusable`."""
    values = np.empty(len(column), dtype=object)
    for row, value in enumerate(column.to_pylist()):
        if isinstance(value, str) and "\0" in value:
            unusable.append(Unusable(row, name, shorten(value), f"the {role} holds a NUL character", "Remove it."))
        elif isinstance(value, str):
            values[row] = None if is_blank(value) else value
        elif value is not None:
            unusable.append(Unusable(row, name, shorten(value), f"the {role} is not a text", "Write a text."))
    return values


def read_labels(column: "pa.Array") -> NDArray[np.object_]:
    """Reads a column as labels, None where one is missing; a whole number is the same label as a float."""
    values = np.empty(len(column), dtype=object)
    values[:] = [label_of(value) for value in column.to_pylist()]
    return values


def label_of(value: Any) -> str | None:
    """Returns a value as a label, None where it is missing or blank."""
    if isinstance(value, float):  # whole numbers are such beside a gap
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    label = "" if value is None else str(value)
    return None if is_blank(label) else label
