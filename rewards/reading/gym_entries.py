"""An item of a reasoning-gym task as text, and back."""

import json
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

# What verifiers hand to Python's `eval` although no answer is in it, and the form in which the library writes it.
READ_AS_PYTHON = {
    "number_sorting": (("answer",), re.compile(r"\[[\s\d.e+\-,'\"]*\]")),
    "bitwise_arithmetic": (("metadata", "problem"), re.compile(r"(?:0x[0-9a-f]++|\d++|[\s()+\-*&|^~<>])++")),
}
TUPLE, PAIRS, FRACTION = "tuple of", "pairs of", "fraction of"  # keys of an object that stands for what JSON has not


def write_entry(entry: Mapping[str, Any]) -> str:
    """Writes an item as JSON in which tuples, fractions and keys that are numbers stay what verifiers compare.

    Raises:
        TypeError: If it holds what neither JSON nor this has.

    Example:
        >>> read_entry(write_entry({"answer": (1, 2), "metadata": {3: None}}))
        {'answer': (1, 2), 'metadata': {3: None}}
    """
    return json.dumps(_plain(entry), ensure_ascii=False)


def read_entry(text: str) -> dict[str, Any]:
    """Reads what `write_entry` wrote.

    Raises:
        ValueError: If it is no such text.
    """
    entry = json.loads(text, object_hook=_rich)
    if not isinstance(entry, dict) or "answer" not in entry:
        raise ValueError(f"An item of reasoning-gym must be a JSON object with an `answer`, got {text!r:.80}.")
    return entry


def check_python(name: str, entry: Mapping[str, Any]) -> None:
    """Checks that what a verifier would run of an item is no code but what the library writes there.

    Raises:
        ValueError: If it is.
    """
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
