"""The calls of tools in a row of the completions table."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

_LONGEST_TEXT = 300  # characters of arguments or a result


class ShownCall(NamedTuple):
    """One call as the report shows it."""

    call: str
    result: str
    seconds: str
    failure: str


def calls_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Reads the calls of a row; none where it has no such column, or one of another kind."""
    try:
        found = json.loads(row.get("tool_calls") or "[]")
    except (TypeError, ValueError):
        return []
    return [call for call in found if isinstance(call, dict)] if isinstance(found, list) else []


def shown_calls(row: Mapping[str, Any]) -> list[ShownCall]:
    """Writes the calls of a row, in short."""
    return [
        ShownCall(
            written(str(call.get("tool")), call.get("arguments")),
            _short(str(call.get("result"))),
            f"{call.get('seconds')} s",
            str(call.get("failure") or ""),
        )
        for call in calls_of(row)
    ]


def written(tool: str, arguments: Any) -> str:
    """Writes a call as Python does; arguments may be JSON.

    Example:
        >>> written("price", '{"item": "pear"}')
        "price(item='pear')"
    """
    with contextlib.suppress(ValueError):  # a text that is no JSON stays
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    if isinstance(arguments, Mapping):
        return _short(f"{tool}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})")
    return _short(f"{tool}({arguments!r})")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ... ({len(text):,} characters)"
