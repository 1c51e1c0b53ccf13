"""Arguments for a trial call, from the schema of a tool."""

from collections.abc import Mapping
from typing import Any

_BY_TYPE: dict[str, Any] = {"string": "example", "integer": 1, "number": 1.5, "boolean": True, "object": {}}


def example_arguments(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Makes a value for every parameter of a tool.

    Example:
        >>> parameters = {"properties": {"item": {"type": "string"}, "counts": {"type": "array"}}}
        >>> example_arguments({"function": {"name": "buy", "parameters": parameters}})
        {'item': 'example', 'counts': []}
    """
    properties = schema["function"]["parameters"]["properties"]
    return {name: _example(each) for name, each in properties.items()}


def _example(schema: Mapping[str, Any]) -> Any:
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("anyOf"):
        return _example(schema["anyOf"][0])
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind  # of `int | str`
    if kind == "array":
        return [_example(schema["items"])] if schema.get("items") else []
    return _BY_TYPE.get(str(kind), "example")
