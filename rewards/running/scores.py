"""What a reward gave for one completion: a number, nothing, or a value nothing can be learnt from."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

LEFT_OUT = "left out"  # stands for a failure where the reward was not asked, since nobody needs the row
LARGEST = 3.4e38  # TRL holds rewards in float32, where more is infinite
FAILURES = ("error", "timeout", "died", "not a number", "not finite")


class Score(NamedTuple):
    """A reward's answer to one row.

    Attributes:
        value: The reward; None if it has nothing to say about the row, or failed.
        failure: None, one of `FAILURES`, or `LEFT_OUT`.
        message: What was raised or returned; empty without a failure.
        seconds: How long the row took; a share of the call if the batch was called as a whole.
    """

    value: float | None
    failure: str | None = None
    message: str = ""
    seconds: float = 0.0


def read_scores(values: Any, size: int, seconds: float) -> list[Score]:
    """Reads what a reward returned for `size` rows in `seconds` seconds.

    Example:
        >>> [score.failure for score in read_scores([1, None, "1.0", float("nan"), -1e39], 5, 0.0)]
        [None, None, 'not a number', 'not finite', 'not finite']
    """
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        kind = type(values).__name__
        return failed_scores(
            "not a number", f"It returned a {kind}, not a list with one number per row.", size, seconds
        )
    values = list(values)
    if len(values) != size:
        return failed_scores("not a number", f"It returned {len(values)} values for {size} rows.", size, seconds)
    return [_read_value(value, seconds / size) for value in values]


def failed_scores(failure: str, message: str, size: int, seconds: float) -> list[Score]:
    """Makes the scores of rows that share a failure."""
    return [Score(None, failure, message, seconds / max(size, 1))] * size


def _read_value(value: Any, seconds: float) -> Score:
    if value is None:
        return Score(None, seconds=seconds)
    number = None if isinstance(value, str | bytes) or getattr(value, "ndim", None) else _as_float(value)
    if number is None:
        return Score(None, "not a number", f"It returned {written(value):.200} ({type(value).__name__}).", seconds)
    if not abs(number) <= LARGEST:
        return Score(None, "not finite", f"It returned {number}. Return None for a row it has no opinion on.", seconds)
    return Score(number, seconds=seconds)


def _as_float(value: Any) -> float | None:
    try:
        return float(value)
    except Exception:  # whatever a `__float__` raises
        return None


def written(value: Any) -> str:
    """Writes a value as `repr` does, also one whose `__repr__` raises."""
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__} whose `repr` raises {type(error).__name__}>"
