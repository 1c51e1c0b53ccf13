"""One column as numbers; dates become days since 1970."""

import math
import re
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from rewards.correction._moments import Array

DAYS, DURATION = "days since 1970-01-01 by the clock as written", "days"
EPOCH = datetime(1970, 1, 1)
DATE, TIME_SPAN = "M", "m"  # numpy's kinds


class Numbers(NamedTuple):
    """A column of N numbers."""

    values: Array  # (N,) in float64; nan where one is missing
    unit: str | None = None  # that dates were turned into, None for numbers


def read_numbers(values: Any, name: str, kind: str) -> Numbers:
    """Reads `(N,)` numbers, booleans, dates and times, also as texts; zones and offsets are passed over."""
    if isinstance(values, np.ma.MaskedArray):
        values = np.where(np.ma.getmaskarray(values), np.nan, values.data)
    array = np.asarray(values)
    found = _read_dates(array, name) if array.ndim == 1 else None
    try:
        found = found or Numbers(_as_floats(array))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"Column {name!r} must hold numbers to be a {kind}, got {array.ravel()[:1].tolist()}. "
            "A category is a column of texts none of which is a number or a date."
        ) from error
    if found.values.ndim != 1:
        raise ValueError(f"Column {name!r} must be one column, got shape {found.values.shape}.")
    return found


def is_number(text: str | None) -> bool:
    """Tells whether a text is a finite number or a date; a missing one is none."""
    if text is None or _day(text) is not None:
        return text is not None
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def is_like_date(text: str) -> bool:
    """Tells whether a text looks like a date in another form than ISO 8601, which is no level of a category."""
    return re.match(r"\s*\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b", text) is not None


def listed(values: Any) -> list[Any]:
    """Lists values, None where one is missing: nan, pandas' NA and NaT are not equal to themselves."""
    return [None if each is None or (each == each) is not True else each for each in np.asarray(values).tolist()]


def in_days(values: Array) -> Array:
    """Turns numpy's dates and time spans into days, dates from 1970 on; nan where one is missing.

    Example:
        >>> in_days(np.array(["1970-01-02T12:00", "NaT"], dtype="M8[s]"))
        array([1.5, nan])
    """
    day = np.timedelta64(1, "D")
    if values.dtype.kind == TIME_SPAN:
        return np.asarray(values / day)
    whole = values.astype("M8[D]")  # apart from the rest, so that no digits are lost
    return np.asarray((whole - np.datetime64(0, "D")) / day + (values - whole) / day)


def day_of(moment: date) -> float:
    """Returns the days from 1970 to a date or a time, by the clock as written; nan for pandas' missing one.

    Example:
        >>> day_of(datetime.fromisoformat("1970-01-02T12:00:00+09:00")), day_of(date(1970, 1, 3))
        (1.5, 2.0)
    """
    if moment != moment:
        return float("nan")
    if not isinstance(moment, datetime):
        return float(moment.toordinal() - EPOCH.toordinal())
    return float((moment.replace(tzinfo=None) - EPOCH) / timedelta(days=1))


def _read_dates(array: Array, name: str) -> Numbers | None:
    """Reads numpy's or Python's dates, or texts as ISO 8601; None if the first value is none of these."""
    if array.dtype.kind in (DATE, TIME_SPAN):
        return Numbers(in_days(array), unit=DAYS if array.dtype.kind == DATE else DURATION)
    if array.dtype.kind not in "OU":
        return None
    values = listed(array)
    if _day(next((value for value in values if value is not None), None)) is None:
        return None
    days = [np.nan if value is None else _day(value) for value in values]
    if None in days:
        row = days.index(None)
        raise ValueError(
            f"Column {name!r} must hold dates in every row, as in the first; got {values[row]!r} in row {row}. Write "
            "it as 2024-01-31, or leave it missing."
        )
    return Numbers(np.asarray(days, dtype=float), unit=DAYS)


def _day(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            try:
                value = datetime.fromisoformat(value.strip())
            except ValueError:
                return None
    return day_of(value) if isinstance(value, date) else None


def _as_floats(array: Array) -> Array:
    if array.dtype.kind == "c":
        raise TypeError("complex numbers")
    if array.dtype.kind == "O" and array.ndim == 1:
        return np.asarray(listed(array), dtype=float)
    return np.asarray(array, dtype=float)
