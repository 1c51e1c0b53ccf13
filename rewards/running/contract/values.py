"""Whether what a reward returned is what TRL can use: one finite number, or None, for each completion."""

import inspect
import math
from collections.abc import Callable, Mapping
from numbers import Number
from typing import Any

from rewards.running.contract.problem import RewardProblem
from rewards.running.scores import LARGEST, written

ONE_EACH = "Return one number (or None) per completion."
FINITE = "Return a finite number, or None to skip a row."
DETACHED = "Return `value.item()`, or compute under `torch.no_grad()`."


def read_values(
    name: str, values: Any, expected: int, describe: Callable[[int], str] = lambda index: f"row {index + 1}"
) -> list[float | None] | RewardProblem:
    """Reads returned values as numbers, or says what is wrong with them.

    Args:
        name: Name of the reward.
        values: What it returned.
        expected: How many completions it was given.
        describe: Names a completion by its index.
    """
    listed = _as_list(name, values)
    if isinstance(listed, RewardProblem):
        return listed
    if len(listed) != expected:
        text = (
            f"returned {len(listed)} value{'s' if len(listed) != 1 else ''} for {expected} "
            f"completion{'s' if expected != 1 else ''}"
        )
        return RewardProblem(name, "wrong_length", text, ONE_EACH)
    faults = [(index, fault) for index, value in enumerate(listed) if (fault := _fault(value)) is not None]
    if not faults:
        return [None if value is None else float(value) for value in listed]
    index, (kind, reason) = faults[0]
    text = (
        f"returned {shorten(listed[index])} for {len(faults)} of {expected} rows, first at {describe(index)}: {reason}"
    )
    return RewardProblem(name, kind, text, DETACHED if kind == "has_gradient" else FINITE)


def shorten(value: Any, width: int = 60) -> str:
    """Writes a value on one line of limited width."""
    text = written(value)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _as_list(name: str, values: Any) -> list[Any] | RewardProblem:
    if values is None or isinstance(values, str | bytes | Mapping | Number):
        text = f"returned {shorten(values)} ({type(values).__name__}), not a list"
        return RewardProblem(name, "not_a_list", text, ONE_EACH)
    if inspect.isawaitable(values):
        remedy = "Declare the reward itself `async def`, so that TRL awaits it."
        return RewardProblem(name, "not_a_list", "returned a coroutine", remedy)
    if isinstance(values, set | frozenset):
        text = "returned a set, which has no order and holds equal values once"
        return RewardProblem(name, "not_a_list", text, ONE_EACH)
    try:
        return list(values)
    except TypeError:
        return RewardProblem(name, "not_a_list", f"returned a {type(values).__name__}, not a list", ONE_EACH)


def _fault(value: Any) -> tuple[str, str] | None:
    if value is None:
        return None
    if isinstance(value, str | bytes | Mapping):
        return "not_a_number", f"a {type(value).__name__} is not a number"
    if getattr(value, "ndim", 0):
        return "not_a_number", f"a {type(value).__name__} with {value.ndim} axis is not a number"
    if getattr(value, "requires_grad", False) is True:
        return "has_gradient", "its graph is kept for gradients that nobody takes, and torch warns of the number"
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    except Exception:  # whatever a `__float__` raises
        return "not_a_number", f"a {type(value).__name__} is not a number"
    if math.isnan(number):
        return "not_finite", "TRL skips NaN silently"
    if abs(number) > LARGEST:
        return "not_finite", "an infinite reward makes every advantage of its group NaN"
    return None
