"""Tasks of reasoning-gym by name, `reasoning_gym:chain_sum?max_terms=3&seed=1`, their items and verifiers."""

import importlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

from rewards.extras import require

PREFIX = "reasoning_gym:"
DEFAULTS = {"seed": 0, "size": 500, "shots": 0}  # without a seed the library draws one that nobody knows
# Their verifiers hand an answer to Python's `eval`, or to sympy's `parse_expr`, which calls it.
EVALUATED = frozenset({
    "binary_matrix", "countdown", "intermediate_integration", "n_queens", "polynomial_multiplication", "puzzle24",
    "simple_integration", "spiral_matrix", "string_insertion",
})  # fmt: skip


class TaskSpec(NamedTuple):
    """A task and its settings."""

    name: str
    settings: Mapping[str, Any]  # fields of the library's configuration for it, with `seed` and `size`
    shots: int = 0  # solved questions in front of each question


def is_task(text: str) -> bool:
    """Tells whether a text names a task."""
    return text.startswith(PREFIX)


def read_spec(text: str) -> TaskSpec:
    """Reads `reasoning_gym:TASK?setting=value&...`; a value is JSON, or a text; all but `shots` is the library's.

    Example:
        >>> read_spec('reasoning_gym:basic_arithmetic?max_terms=3&operators=["+", "-"]').settings["operators"]
        ['+', '-']
    """
    name, _, query = text.removeprefix(PREFIX).partition("?")
    if not name:
        raise ValueError(f"{text!r} names no task. Write `{PREFIX}TASK`, for example `{PREFIX}chain_sum`.")
    settings = DEFAULTS | read_settings(text, query)
    for key, least in (("seed", 0), ("size", 1), ("shots", 0)):
        if type(settings[key]) is not int or settings[key] < least:
            raise ValueError(f"{text!r}: `{key}` must be a whole number, at least {least}; got {settings[key]!r}.")
    return TaskSpec(name, settings, settings.pop("shots"))


def read_settings(text: str, query: str) -> dict[str, Any]:
    """Reads `setting=value&...` of a name; a value is JSON, or a text."""
    settings: dict[str, Any] = {}
    for part in query.split("&") if query else ():
        key, sign, value = part.partition("=")
        if not key or not sign or key in settings:
            raise ValueError(f"{text!r}: {part!r} must be a setting of its own. Write `?max_terms=3&seed=1`.")
        settings[key] = _value(value)
    return settings


def make_task(spec: TaskSpec) -> Any:
    """Makes the library's data set of a task, whose items are drawn as they are looked up.

    Example:
        >>> from rewards.extras import EXTRAS, is_installed
        >>> if all(map(is_installed, EXTRAS["reasoning-gym"])):
        ...     task = make_task(read_spec("reasoning_gym:gcd?seed=3"))
        ...     assert task.score_answer(task[0]["answer"], task[0]) == 1.0
    """
    tasks = _library().DATASETS
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


@cache
def _library() -> Any:
    require("reasoning-gym", "`reasoning_gym`")
    return importlib.import_module("reasoning_gym.factory")  # which loads all tasks: 2 to 4 seconds


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=3)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


# What verifiers hand to Python's `eval` although no answer is in it, and the form in which the library writes it.
READ_AS_PYTHON = {
    "number_sorting": (("answer",), re.compile(r"\[[\s\d.e+\-,'\"]*\]")),
    "bitwise_arithmetic": (("metadata", "problem"), re.compile(r"(?:0x[0-9a-f]++|\d++|[\s()+\-*&|^~<>])++")),
}
TUPLE, PAIRS, FRACTION = "tuple of", "pairs of", "fraction of"  # keys of an object that stands for what JSON has not


def write_entry(entry: Mapping[str, Any]) -> str:
    """Writes an item as JSON in which tuples, fractions and keys that are numbers stay what verifiers compare.

    Example:
        >>> read_entry(write_entry({"answer": (1, 2), "metadata": {3: None}}))
        {'answer': (1, 2), 'metadata': {3: None}}
    """
    return json.dumps(_plain(entry), ensure_ascii=False)


def read_entry(text: str) -> dict[str, Any]:
    """Reads what `write_entry` wrote; raises `ValueError` if it is no such text."""
    entry = json.loads(text, object_hook=_rich)
    if not isinstance(entry, dict) or "answer" not in entry:
        raise ValueError(f"An item of reasoning-gym must be a JSON object with an `answer`, got {text!r:.80}.")
    return entry


def check_python(name: str, entry: Mapping[str, Any]) -> None:
    """Raises `ValueError` if what a verifier would run of an item is other code than the library writes there."""
    if name not in READ_AS_PYTHON:
        return
    keys, form = READ_AS_PYTHON[name]
    value: Any = entry
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    if not form.fullmatch(str(value)):
        raise ValueError(
            f"The verifier of {name!r} runs `{'.'.join(keys)}` of an item as Python, which must be numbers and signs, "
            f"got {value!r:.80}. Make the rows with `path: reasoning_gym:{name}`."
        )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return {TUPLE: [_plain(each) for each in value]}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: _plain(each) for key, each in value.items()}
        return {PAIRS: [[_plain(key), _plain(each)] for key, each in value.items()]}
    return {FRACTION: str(value)} if isinstance(value, Fraction) else value


def _rich(found: dict[str, Any]) -> Any:
    if found.keys() == {TUPLE}:
        return tuple(found[TUPLE])
    if found.keys() == {FRACTION}:
        return Fraction(found[FRACTION])
    return dict(found[PAIRS]) if found.keys() == {PAIRS} else found


class Graded(NamedTuple):
    """What a verifier says."""

    score: float  # in the task's own terms; 1 is right
    unread: str = ""  # what the verifier raised at the answer, though it reads the task's own


class GymGrader:
    """Scores an answer with the verifier of its task; raises `ImportError` if reasoning-gym is not installed."""

    def __init__(self) -> None:
        make_task(read_spec("reasoning_gym:chain_sum"))  # loads the library, before the clock of a call starts
        self._tasks: dict[str, Any] = {}

    def __call__(self, item: tuple[str, str, str]) -> Graded:
        """Scores one item: the task, its entry as `write_entry` wrote it, and the answer."""
        spec, entry, answer = item
        if spec not in self._tasks:
            self._tasks[spec] = make_task(read_spec(spec))
        task, known = self._tasks[spec], read_entry(entry)
        check_python(read_spec(spec).name, known)
        try:
            return Graded(float(task.score_answer(answer, known)))
        except Exception as error:
            if known["answer"] is None:
                raise
            task.score_answer(known["answer"], known)  # raises where the fault is not the answer's
            return Graded(0.0, f"{type(error).__name__}: {error}")


def evaluates(spec: str) -> bool:
    """Tells whether the verifier of a task runs an answer as Python."""
    return read_spec(spec).name in EVALUATED
