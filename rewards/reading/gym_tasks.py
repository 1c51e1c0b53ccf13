"""Tasks of reasoning-gym by name: `reasoning_gym:chain_sum?max_terms=3&seed=1`."""

import importlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

from rewards.extras import missing

PREFIX = "reasoning_gym:"
DEFAULTS = {"seed": 0, "size": 500, "shots": 0}  # without a seed the library draws one that nobody knows
# Their verifiers hand an answer to Python's `eval`, or to sympy's `parse_expr`, which calls it.
EVALUATED = frozenset({
    "binary_matrix", "countdown", "intermediate_integration", "n_queens", "polynomial_multiplication", "puzzle24",
    "simple_integration", "spiral_matrix", "string_insertion",
})  # fmt: skip


class TaskSpec(NamedTuple):
    """A task and its settings.

    Attributes:
        name: Of the task.
        settings: Fields of the library's configuration for it, with `seed` and `size`.
        shots: Solved questions in front of each question.
    """

    name: str
    settings: Mapping[str, Any]
    shots: int = 0


def is_task(text: str) -> bool:
    """Tells whether a text names a task."""
    return text.startswith(PREFIX)


def read_spec(text: str) -> TaskSpec:
    """Reads `reasoning_gym:TASK?setting=value&...`; a value is JSON, or else a text.

    `shots` is ours, every other setting the library's.

    Raises:
        ValueError: If there is no name, a setting has no value or is there twice, or `seed`, `size` or `shots` is no
            number.

    Example:
        >>> read_spec('reasoning_gym:basic_arithmetic?max_terms=3&operators=["+", "-"]').settings["operators"]
        ['+', '-']
    """
    name, _, query = text.removeprefix(PREFIX).partition("?")
    if not name:
        raise ValueError(f"{text!r} names no task. Write `{PREFIX}TASK`, for example `{PREFIX}chain_sum`.")
    settings: dict[str, Any] = {}
    for part in query.split("&") if query else ():
        key, sign, value = part.partition("=")
        if not key or not sign or key in settings:
            raise ValueError(f"{text!r}: {part!r} must be a setting of its own. Write `?max_terms=3&seed=1`.")
        settings[key] = _value(value)
    settings = DEFAULTS | settings
    for key, least in (("seed", 0), ("size", 1), ("shots", 0)):
        if type(settings[key]) is not int or settings[key] < least:
            raise ValueError(f"{text!r}: `{key}` must be a whole number, at least {least}; got {settings[key]!r}.")
    return TaskSpec(name, settings, settings.pop("shots"))


def make_task(spec: TaskSpec) -> Any:
    """Makes the library's data set of a task, whose items are drawn as they are looked up.

    Raises:
        ImportError: If reasoning-gym is not installed.
        ValueError: If there is no such task or setting, or the task refuses a value.

    Example:
        >>> from rewards.extras import EXTRAS, is_installed
        >>> if all(map(is_installed, EXTRAS["reasoning-gym"])):
        ...     task = make_task(read_spec("reasoning_gym:gcd?seed=3"))
        ...     assert task.score_answer(task[0]["answer"], task[0]) == 1.0
    """
    tasks = _tasks()
    if spec.name == "composite":
        raise ValueError(f"`{PREFIX}composite` is several tasks in one. Name each of them in `dataset.mix`.")
    if spec.name not in tasks:
        known = sorted(set(tasks) - {"composite"})
        near = _near(spec.name, known) or f" It has {', '.join(known)}."
        raise ValueError(f"reasoning-gym has no task {spec.name!r}.{near}")
    names = [field.name for field in fields(tasks[spec.name][1])]
    for key in spec.settings:
        if key not in names:
            hint = _near(key, [*names, "shots"]) or f" It has: {', '.join([*names, 'shots'])}."
            raise ValueError(f"Task {spec.name!r} of reasoning-gym has no setting {key!r}.{hint}")
    try:
        return _library().create_dataset(spec.name, **spec.settings)
    except (AssertionError, TypeError, ValueError) as error:  # how their `validate` refuses
        raise ValueError(f"Task {spec.name!r} of reasoning-gym refuses its settings: {error}") from error


def check_installed(what: str = "`reasoning_gym`") -> None:
    """Checks that reasoning-gym can be loaded, without loading it.

    Raises:
        ImportError: If it is not installed; the message names the extra.
    """
    if sentence := missing("reasoning-gym", what):
        raise ImportError(sentence)


@cache
def _library() -> Any:
    check_installed()
    return importlib.import_module("reasoning_gym.factory")  # which loads all tasks: 2 to 4 seconds


def _tasks() -> Mapping[str, tuple[Callable[..., Any], type]]:
    found: Mapping[str, tuple[Callable[..., Any], type]] = _library().DATASETS
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=3)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
