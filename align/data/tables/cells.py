"""Cells of a table: numbers (booleans as 0 and 1, dates in days, texts that are these), labels, and texts."""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.data.problems import BadRow, RowProblem, shorten
from align.data.texts import is_blank
from rewards.correction.categories import FEW_VALUES, is_text
from rewards.correction.numeric import DAYS, DURATION, day_of, in_days

if TYPE_CHECKING:
    import pyarrow as pa

NOT_GIVEN = ("", "na", "n/a", "nan", "nat", "null", "none")  # texts that stand for a missing number
TRUTH = {"true": 1.0, "false": 0.0}
WRITE_ONE = "Write one, or leave the row out."
NO_GROUPS = "Write a number, or a date as 2024-01-31; a category is a column of texts none of which is one."
NUMBERS = ""  # the unit of a column without dates


class NumericColumn(NamedTuple):
    """A column of a batch."""

    values: NDArray[Any]  # `(N,)`, nan where missing or unusable
    unusable: list[RowProblem]  # no numbers, or no dates in a column of dates; rows are of the batch, from 0
    unit: str | None  # what dates were turned into, `NUMBERS` without, None while nothing tells


def read_numbers(column: "pa.Array", name: str, role: str, known: str | None = None) -> NumericColumn:
    """Reads a column as numbers; dates become days since 1970, by the clock as written."""
    import pyarrow as pa
    import pyarrow.compute as compute

    kind = pa.types
    if kind.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kind.is_boolean(column.type) or _is_number(column.type):
        return NumericColumn(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), [], NUMBERS)
    if kind.is_date(column.type) or kind.is_timestamp(column.type):
        if getattr(column.type, "tz", None):
            column = compute.local_timestamp(column)
        return NumericColumn(in_days(column.to_numpy(zero_copy_only=False)), [], DAYS)
    if kind.is_duration(column.type):
        return NumericColumn(in_days(column.to_numpy(zero_copy_only=False)), [], DURATION)
    if kind.is_string(column.type) or kind.is_large_string(column.type):
        return _parse(column, name, role, known)
    nothing = np.full(len(column), np.nan)
    if kind.is_null(column.type):
        return NumericColumn(nothing, [], None)
    shown = "time of day" if kind.is_time(column.type) else column.type
    rule = f"a {shown} is not a number, and the {role} must be one"
    place = next((i for i, value in enumerate(column.to_pylist()) if value is not None), 0)
    bad = RowProblem("", place, name, shorten(column[place].as_py()), rule, "Name a column of numbers or dates.")
    return NumericColumn(nothing, [bad], None)


def read_number(value: object, name: str, known: str | None = None) -> tuple[float, str | None]:
    """Reads one value as `read_numbers` reads its column, and the unit of the column as far as this value tells."""
    import pyarrow as pa

    number = None
    if known in (None, NUMBERS):  # most values, and much faster than a column of one
        number = _number(value) if isinstance(value, str) else value if isinstance(value, int | float) else None
    unit: str | None = NUMBERS
    if number is None and isinstance(value, bool | int | float | str | date | timedelta | Decimal):
        of_dates = known == DAYS and isinstance(value, int | float)  # texts and numbers of JSON are a column of texts
        found = read_numbers(pa.array([str(value) if of_dates else value]), name, "value", known)
        if found.unusable:
            raise BadRow(name, value, found.unusable[0].rule, found.unusable[0].remedy if known == DAYS else NO_GROUPS)
        number, unit = float(found.values[0]), found.unit
    if number is None:
        raise BadRow(name, value, "the value is not a number", WRITE_ONE)
    if not isfinite(number):
        raise BadRow(name, value, "the value is not a finite number", WRITE_ONE)
    return float(number), unit


def _parse(column: "pa.Array", name: str, role: str, known: str | None) -> NumericColumn:
    import pyarrow as pa

    if known != DAYS:
        with suppress(pa.ArrowInvalid):
            values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
            return NumericColumn(values, [], known if column.null_count == len(column) else NUMBERS)
    texts = column.to_pylist()
    unit = _unit_of(texts) if known is None else known
    if unit == DAYS:
        values, wrong = read_dates(texts, NOT_GIVEN)
        rule = f"the {role} is not a date, as others of the column are"
        remedy = "Write it as 2024-01-31 or 2024-01-31T12:30:00+00:00; a column holds dates or numbers."
    else:
        parsed = [_number(text) for text in texts]
        values, wrong = np.array(parsed, np.float64), [row for row, value in enumerate(parsed) if value is None]
        rule = f"the {role} is not a number"
        remedy = NO_GROUPS
    problems = [RowProblem("", row, name, shorten(texts[row]), rule, remedy) for row in wrong]
    return NumericColumn(values, problems, unit)


def _unit_of(texts: list[str | None]) -> str | None:
    for text in texts:
        number = _number(text)
        if number is not None and not np.isnan(number):
            return NUMBERS
        if number is None and not read_dates([text], ())[1]:
            return DAYS
    return None


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


def read_dates(texts: Sequence[str | None], missing: Collection[str]) -> tuple[NDArray[np.float64], list[int]]:
    """Reads N texts as `(N,)` days since 1970, nan for those in `missing`, and lists the places of no dates."""
    days, wrong = np.full(len(texts), np.nan), []
    for row, text in enumerate(texts):
        word = "" if text is None else text.strip()
        if text is None or word.lower() in missing:
            continue
        try:
            days[row] = day_of(datetime.fromisoformat(word))
        except (ValueError, OverflowError):
            wrong.append(row)
    return days, wrong


def read_texts(column: "pa.Array", name: str, role: str, unusable: list[RowProblem]) -> NDArray[np.object_]:
    """Reads a column as texts, None where one is missing; adds what is no text to `unusable`."""
    values = np.empty(len(column), dtype=object)
    for row, value in enumerate(column.to_pylist()):
        rule, remedy = f"the {role} is not a text", "Write a text."
        if isinstance(value, str) and "\0" in value:
            rule, remedy = f"the {role} holds a NUL character", "Remove it."
        elif value is None or isinstance(value, str):
            values[row] = None if value is None or is_blank(value) else value
            continue
        unusable.append(RowProblem("", row, name, shorten(value), rule, remedy))
    return values


def read_labels(column: "pa.Array") -> NDArray[np.object_]:
    """Reads a column as labels, None where one is missing; a whole number is the same label as a float."""
    values = np.empty(len(column), dtype=object)
    values[:] = [label_of(value) for value in column.to_pylist()]
    return values


def stands_for_label(text: Any) -> bool:
    """Tells whether a value is a text that stands for nothing but itself: no number, no date, and not like one."""
    return is_text(text) and _number(text) is None


def has_labels(kind: Any) -> bool:
    """Tells whether a column of a type of Arrow can be one of a category: of texts, or of whole numbers."""
    import pyarrow as pa

    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    return texts or pa.types.is_integer(kind) or pa.types.is_floating(kind)


def count_values(column: "pa.Array") -> Counter[Any]:
    """Counts the distinct values of a column; of numbers no more than tell that they are no category."""
    found, counts = column.value_counts(), Counter[Any]()
    for each in (found[: FEW_VALUES.stop + 2] if _is_number(column.type) else found).to_pylist():
        value = each["values"]
        counts[TRUTH.get(value.strip().lower(), value) if isinstance(value, str) else value] += each["counts"]
    return counts


def label_of(value: Any) -> str | None:
    """Returns a value as a label, None where it is missing or blank."""
    if isinstance(value, float):  # whole numbers are such beside a gap
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    label = "" if value is None else str(value)
    return None if is_blank(label) else label
