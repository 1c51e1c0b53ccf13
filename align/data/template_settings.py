"""What a row tells the chat template beside its messages: tools, and switches such as thinking."""

import json
from collections.abc import Mapping
from typing import Any

from align.data.problems import BadRow

TEMPLATE_COLUMNS = ("tools", "chat_template_kwargs")
SET_BY_TRAINERS = ("tools", "tokenize", "add_generation_prompt", "continue_final_message", "return_dict")
TOOLS = '[{"type": "function", "function": {"name": ...}}]'


def check_template_columns(row: Mapping[str, Any], *, is_text: bool = False) -> dict[str, Any]:
    """Checks `tools` (also JSON, as in TRL's data sets) and `chat_template_kwargs`; returns those that are given.

    Example:
        >>> check_template_columns({"tools": "[]", "chat_template_kwargs": {"enable_thinking": False}})
        {'chat_template_kwargs': {'enable_thinking': False}}
    """
    found = {"tools": _tools(row.get("tools")), "chat_template_kwargs": _switches(row.get("chat_template_kwargs"))}
    found = {column: value for column, value in found.items() if value}
    if is_text and found:
        column = next(iter(found))
        remedy = "Write the row as messages, or leave the column out."
        raise BadRow(column, row[column], f"`{column}` is for the chat template, and the prompt is a text", remedy)
    return found


def template_settings(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what to give a template, of columns that were checked.

    Example:
        >>> template_settings({"chat_template_kwargs": {"enable_thinking": False}})
        {'tools': None, 'enable_thinking': False}
    """
    return {"tools": columns.get("tools"), **columns.get("chat_template_kwargs", {})}


def add_template_columns(rows: list[dict[str, Any]], columns: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Adds the columns to rows for a trainer: all have them if any has, tools as JSON, so that tables add no keys."""
    tools, switches = (any(column in each for each in columns) for column in TEMPLATE_COLUMNS)
    for row, each in zip(rows, columns, strict=True):
        if tools:
            row["tools"] = json.dumps(each["tools"]) if "tools" in each else None
        if switches:
            row["chat_template_kwargs"] = dict(each.get("chat_template_kwargs", {}))
    return rows


def _tools(value: Any) -> list[Any] | None:
    given = value
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except ValueError as error:
            raise BadRow("tools", given, f"the tools are not JSON: {error}", f"Write {TOOLS}.") from error
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not all(isinstance(tool, Mapping) for tool in value):
        raise BadRow("tools", given, "the tools are not a list of objects", f"Write {TOOLS}, also as JSON.")
    return list(value)


def _switches(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        remedy = 'Write {"enable_thinking": false}, or what your template takes.'
        raise BadRow("chat_template_kwargs", value, "the settings of the template are not an object", remedy)
    if taken := next((name for name in SET_BY_TRAINERS if name in value), None):
        remedy = "Use the column `tools`." if taken == "tools" else "Leave it out."
        raise BadRow("chat_template_kwargs", taken, "the trainer sets this itself", remedy)
    return dict(value)
