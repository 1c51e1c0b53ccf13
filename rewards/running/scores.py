"""What a reward gave for one completion, and what of it counts beside the other rewards."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # every worker would load it, and make no array
    import numpy as np

LEFT_OUT = "left out"  # stands for a failure where the reward was not asked, since nobody needs the row
LARGEST = 3.4e38  # TRL holds rewards in float32, where more is infinite
FAILURES = ("error", "timeout", "died", "not a number", "not finite")


class Score(NamedTuple):
    """A reward's answer to one row."""

    value: float | None  # None if it has nothing to say about the row, or failed
    failure: str | None = None  # None, one of `FAILURES`, or `LEFT_OUT`
    message: str = ""  # what was raised or returned; empty without a failure
    seconds: float = 0.0  # a share of the call if the batch was called as a whole


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
    number = as_number(value)
    if number is None:
        return Score(None, "not a number", f"It returned {written(value):.200} ({type(value).__name__}).", seconds)
    if not abs(number) <= LARGEST:
        return Score(None, "not finite", f"It returned {number}. Return None for a row it has no opinion on.", seconds)
    return Score(number, seconds=seconds)


def as_number(value: Any) -> float | None:
    """Reads a value as one number, infinite where it is too large; None if it is none."""
    try:
        return None if isinstance(value, str | bytes) or getattr(value, "ndim", None) else float(value)
    except OverflowError:
        return math.inf
    except Exception:  # whatever a `__float__` raises
        return None


def written(value: Any) -> str:
    """Writes a value as `repr` does, also one whose `__repr__` raises."""
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__} whose `repr` raises {type(error).__name__}>"


@dataclass(frozen=True)
class Composition:
    """Gates and limits of rewards, which are named by their place.

    Limits are the lowest and highest value of a reward; an infinite one sets no limit. A gate is the reward that opens
    another: where the gate's own value is not above 0, the other counts 0.

    Example:
        >>> import numpy as np
        >>> only_with_format = Composition(gates={0: 1}, limits={2: (-1.0, 0.0)})
        >>> only_with_format.apply(np.array([[1.0, 1.0, -3.0], [1.0, 0.0, 0.5]]))
        array([[ 1.,  1., -1.],
               [ 0.,  0.,  0.]])
    """

    limits: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    gates: Mapping[int, int] = field(default_factory=dict)

    @property
    def changed(self) -> list[int]:
        """The rewards whose value may differ from what their function gave."""
        return sorted({*self.limits, *self.gates})

    def apply(self, values: "np.ndarray") -> "np.ndarray":
        """Returns what counts of `(N, F)` rewards, NaN where the function or its gate gave None."""
        import numpy as np

        counted = values.copy()
        for place, (low, high) in self.limits.items():
            counted[:, place] = np.clip(values[:, place], low, high)
        for place, gate in self.gates.items():
            opened = np.where(values[:, gate] > 0, counted[:, place], 0.0)
            counted[:, place] = np.where(np.isnan(values[:, gate]) | np.isnan(values[:, place]), np.nan, opened)
        return counted
