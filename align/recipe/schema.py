"""The keys of a method as JSON Schema, for editors."""

from collections.abc import Iterable, Iterator
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter

from align.recipe.chain import second_methods
from align.recipe.keys import Key, keys_of
from align.recipe.ranges import Range
from align.recipe.rules import BOOLEAN_NAMES, SEVERAL_WORDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def schema_of(method: str) -> Schema:
    """Returns the JSON Schema of a method's recipes; what keys say about each other it leaves to `align check`."""
    after = second_methods(method)
    whole: Schema = {"$schema": DIALECT, "title": f"A recipe of {method}"} | _recipe(method)
    if not after:
        return whole
    whole["properties"]["then"] |= _second(after)
    return whole | {"$defs": {name: _recipe(name, is_second=True) for name in after}}


def _second(methods: list[str]) -> Schema:
    """Says that a block is a recipe of the method it names."""
    return {
        "properties": {"method": {"enum": methods}},
        "required": ["method"],
        "allOf": [
            {"if": {"properties": {"method": {"const": name}}}, "then": {"$ref": f"#/$defs/{name}"}}
            for name in methods
        ],
    }


def _recipe(method: str, *, is_second: bool = False) -> Schema:
    keys = [key for key in keys_of(method) if not (is_second and key.name == "then")]
    schema = _block(key for key in keys if "." not in key.name)
    blocks = {key.name.partition(".")[0]: None for key in keys if "." in key.name}
    for block in blocks:
        inside = (key for key in keys if key.name.startswith(f"{block}."))
        schema["properties"][block] |= _block(key._replace(name=key.name.partition(".")[2]) for key in inside)
    data = schema["properties"]["dataset"]
    data["required"].remove("path")
    path = {"required": ["path"]}
    data |= {"if": {"required": ["mix"]}, "then": {"not": path}, "else": path}
    return schema


def _block(keys: Iterable[Key]) -> Schema:
    each = list(keys)
    return {
        "type": "object",
        "properties": {key.name: _property(key) for key in each},
        "required": [key.name for key in each if key.is_needed],
        "additionalProperties": False,
    }


def _property(key: Key) -> Schema:
    default = {} if key.is_needed or key.is_computed or key.name == "then" else {"default": key.default}
    shapes = list(_shapes(key))
    takes_null = key.takes_null and key.type is not Any
    if len(shapes) > 1:
        shape: Schema = {"anyOf": [*shapes, {"type": "null"}] if takes_null else shapes}
    else:
        shape = _or_null(shapes[0]) if takes_null else shapes[0]
    return {"description": key.help, **default, **shape}


def _or_null(schema: Schema) -> Schema:
    """Adds null in a way that an error still names the rule: with `anyOf` it would only say that nothing fits."""
    if "enum" in schema:
        return schema | {"enum": [*schema["enum"], None]}
    if "type" in schema:
        return schema | {"type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def _shapes(key: Key) -> Iterator[Schema]:
    """Lists what a value may be: any one of these, or null."""
    if key.choices:
        yield from _choices(key)
    else:
        made = _in_place(TypeAdapter(key.type).json_schema())
        yield from (_within(part, key.range) for part in made.get("anyOf", [made]) if part != {"type": "null"})


def _in_place(made: Schema) -> Schema:
    """Writes definitions where they are used: those of a key are not those of the whole recipe."""
    definitions = made.pop("$defs", {})

    def written_out(part: Any) -> Any:
        if isinstance(part, list):
            return [written_out(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return written_out(definitions[part["$ref"].rpartition("/")[2]])
        return {name: written_out(each) for name, each in part.items()}

    return written_out(made)  # type: ignore[no-any-return]


def _choices(key: Key) -> Iterator[Schema]:
    kinds = {get_origin(part) or part for part in (key.type, *get_args(key.type))}
    if key.name in SEVERAL_WORDS:
        word = f"({'|'.join(key.choices)})"
        yield {"type": "string", "pattern": f"^({word}( {word})*)?$"}
    else:
        yield {"enum": [*key.choices, *BOOLEAN_NAMES.get(key.name, {})]}
    if key.name in SEVERAL_WORDS and bool in kinds:
        yield {"type": "boolean"}
    if list in kinds:
        yield {"type": "array", "items": {"enum": list(key.choices)}}


def _within(schema: Schema, bounds: Range | None) -> Schema:
    """Bounds a number, or each number of a list."""
    if bounds is None:
        return schema
    if schema.get("type") == "array":
        return schema | {"items": _within(schema["items"], bounds)}
    if schema.get("type") not in ("integer", "number"):
        return schema
    low = {"exclusiveMinimum" if bounds.open_low else "minimum": bounds.low}
    high = {"exclusiveMaximum" if bounds.open_high else "maximum": bounds.high}
    limits = low | (high if bounds.high != float("inf") else {})
    return schema | limits if bounds.other is None else {"anyOf": [schema | limits, {"const": bounds.other}]}
