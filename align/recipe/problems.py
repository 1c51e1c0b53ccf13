"""Words for values that do not fit, of one line each and never longer than a line needs."""

import json
import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from align.secrets import mask

SHOWN = 200  # characters of a value
SAID = "said"  # type of an error of pydantic that is a whole sentence of ours
PLAIN = re.compile(r"[^\W\d][\w.-]*(?:[ :][\w.-]+)*")  # a text that YAML reads without quotes
_YAML = {"False": "false", "True": "true", "None": "null"}
_TYPES = ("bool", "int", "float", "str", "dict", "list")  # among several of a value, which pydantic names like a key


def shown(value: Any) -> str:
    """Writes a value as Python does, and says how much of a long one is left out.

    Example:
        >>> shown([1, "two"])
        "[1, 'two']"
    """
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        return f"a number of about {value.bit_length() * 0.301:,.0f} digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} and {len(text) - SHOWN:,} more characters"


def first_problem(prefix: str, error: ValidationError, written: Sequence[str] = ()) -> str:
    """Words the first problem that pydantic found, in the order of `written` keys: full name, rule and value."""
    order = {key: place for place, key in enumerate(written)}
    problem = min(error.errors(), key=lambda each: order.get(str(next(iter(each["loc"]), "")), len(order)))
    if problem["type"] == SAID:
        return problem["msg"]
    places = [str(part) for part in problem["loc"] if not isinstance(part, str) or part.isidentifier()]
    places = [part for part in places if part not in _TYPES]
    name = ".".join(part for part in (prefix, *places) if part)
    if problem["type"] == "missing":
        return f"`{name}` is missing. Add it to the recipe."
    received = mask({name: problem.get("input")})[name]
    rule = " ".join(problem["msg"].removeprefix("Value error, ").split())
    if problem["type"] == "literal_error":
        rule = _as_yaml(rule)
    if problem["type"] == "string_type" and isinstance(received, bool | int | float):
        rule = "must be a text, so write it in quotes"
    if problem["type"] in ("bool_type", "bool_parsing"):
        rule = "must be true or false"
    if problem["type"] == "list_type" and isinstance(received, str | int | float):
        rule = f"must be a list, as in `[{_item(received)}]`"
    got = "null" if received is None else f"{shown(received)} ({type(received).__name__})"
    return f"`{name}`: {rule[0].lower()}{rule[1:].rstrip('.')}; got {got}."


def _item(value: Any) -> str:
    """Writes a value as YAML reads it in a list."""
    if isinstance(value, str) and len(value) <= SHOWN:
        return value if PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=not value.isprintable())
    return "VALUE" if isinstance(value, str) else shown(value)


def _as_yaml(rule: str) -> str:
    """Writes the values among which one can choose as a recipe does."""
    parts = re.split(r"('[^']*')", rule)  # a text stands in quotes, and stays
    parts[::2] = [re.sub(r"\b(False|True|None)\b", lambda word: _YAML[word[1]], part) for part in parts[::2]]
    return "".join(parts)


def one_line(error: BaseException) -> str:
    """Words an error of a library on one line; one that is not about a value says its kind and place too."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ValueError | OSError | ImportError) or error.__traceback__ is None:
        return text
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    file = "/".join(trace.tb_frame.f_code.co_filename.split("/")[-2:])
    return f"{text} ({type(error).__name__} in {file}, line {trace.tb_lineno})"
