"""Every key that a recipe of a method may hold, from what checks it, as a table and as JSON Schema for editors."""

import math
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from align.methods import METHODS
from align.recipe.combinations import IN_LAUNCH_FILE
from align.recipe.fields import OUR_DEFAULTS, OUR_FOLDER, config_fields
from align.recipe.model import ModelSettings
from align.recipe.reward_settings import RewardSettings
from align.recipe.rules import BOOLEAN_NAMES, NO_NULL, SEVERAL_WORDS, Range, rules_of

REWARD_KEYS = ("reward_funcs", "reward_kwargs", "reward_weights", *RewardSettings.model_fields)
EVERY_RECIPE, DATA, REWARDS = "Every recipe", "The data", "Rewards"
OURS = "align"
BOUNDS = ("ge", "gt", "le", "lt")


class Key(NamedTuple):
    """One key of a recipe."""

    name: str  # as it is written; keys of a block have its name before a dot
    place: str  # what it is about, or the class of a library that it is a field of
    type: Any  # Pydantic can validate it
    help: str
    default: Any = None  # what holds where a recipe is silent
    choices: tuple[Any, ...] = ()
    range: Range | None = None
    is_needed: bool = False
    is_computed: bool = False  # its default is found out when training begins

    @property
    def choice_words(self) -> tuple[str, ...]:
        """The choices as a recipe writes them."""
        return tuple(str(choice).lower() if isinstance(choice, bool) else choice for choice in self.choices)

    @property
    def takes_null(self) -> bool:
        """Whether null may be written."""
        return self.name not in NO_NULL and (self.type is Any or type(None) in get_args(self.type))


@cache
def keys_of(method: str) -> tuple[Key, ...]:
    """Lists the keys of a method, ours first."""
    keys = [
        Key("method", EVERY_RECIPE, Literal[method], "Which method trains.", choices=(method,), is_needed=True),
        Key(
            "dataset", EVERY_RECIPE, dict[str, Any], "The data: a block of the keys `dataset.*` below.", is_needed=True
        ),
        *_block_keys(ModelSettings, "", EVERY_RECIPE),
    ]
    keys += sorted(_block_keys(METHODS[method].part("dataset"), "dataset.", DATA), key=lambda key: not key.is_needed)
    if METHODS[method].has_rewards:
        keys += _reward_keys(METHODS[method].rewarded_by)
    names = {key.name for key in keys} | {IN_LAUNCH_FILE}
    return tuple(keys + [key for key in _training_keys(method) if key.name not in names])


@cache
def top_names(method: str) -> frozenset[str]:
    """Names what may stand at the top of a recipe, with what is refused there by a sentence of its own."""
    rewards = REWARD_KEYS if METHODS[method].has_rewards else ()
    return frozenset(
        {"method", "dataset", *ModelSettings.model_fields, *config_fields(method), *rewards, IN_LAUNCH_FILE}
    )


def _reward_keys(rewarded_by: tuple[str, ...]) -> Iterator[Key]:
    names = " or ".join(f"`{name}`" for name in rewarded_by)
    instead = f" Not needed beside {names} that rewards by itself." if rewarded_by else ""
    yield Key(
        "reward_funcs",
        REWARDS,
        list[str] | str,
        "Rewards that are trained on: names of `align rewards list`, package.module.function, ./file.py:function, or "
        f"the folder or hub id of a reward model.{instead}",
        default=[] if rewarded_by else None,
        is_needed=not rewarded_by,
    )
    yield Key(
        "reward_kwargs",
        REWARDS,
        dict[str, dict[str, Any]] | None,
        "Reward to its settings, such as {length: {max_length: 200}}; `align rewards list` shows which there are.",
        default={},
    )
    for key in _block_keys(RewardSettings, "", REWARDS):
        yield key._replace(type=list[str] | str) if key.name == "audit_funcs" else key


def _block_keys(block: type[BaseModel], prefix: str, place: str) -> Iterator[Key]:
    for name, field in block.model_fields.items():
        needed = field.is_required()
        yield Key(
            prefix + name,
            place,
            field.annotation,
            field.description or "",
            None if needed else field.get_default(call_default_factory=True),
            _choices(field.annotation),
            _bounds(field),
            is_needed=needed,
        )


def _choices(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((found for part in get_args(kind) if (found := _choices(part))), ())


def _bounds(field: FieldInfo) -> Range | None:
    found = {name: getattr(rule, name) for rule in field.metadata for name in BOUNDS if hasattr(rule, name)}
    if not found:
        return None
    low, high = found.get("ge", found.get("gt", -math.inf)), found.get("le", found.get("lt", math.inf))
    return Range(low, high, open_low="gt" in found, open_high="lt" in found)


def _training_keys(method: str) -> Iterator[Key]:
    rules = rules_of(method)
    silent = OUR_DEFAULTS | {"output_dir": OUR_FOLDER.format(method=method, name="NAME")}
    order = [each[::2] for each in METHODS[method].config_chain]  # own classes stand first
    for field in sorted(config_fields(method).values(), key=lambda field: order.index(field.owner)):
        yield Key(
            field.name,
            f"Of {method}" if field.owner[0] == OURS else f"{field.owner[1].strip('_')} of {field.owner[0]}",
            list[str] | str if field.type == list[str] else field.type,  # one text stands for a list of it
            field.help,
            silent.get(field.name, field.default),
            rules.choices.get(field.name) or field.choices,
            rules.ranges.get(field.name),
            is_computed=field.is_computed,
        )


DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def schema_of(method: str) -> Schema:
    """Returns the JSON Schema of a method's recipes; what keys say about each other it leaves to `align check`."""
    return {"$schema": DIALECT, "title": f"A recipe of {method}"} | _recipe(method)


def _recipe(method: str) -> Schema:
    keys = keys_of(method)
    schema = _block(key for key in keys if "." not in key.name)
    blocks = {key.name.partition(".")[0]: None for key in keys if "." in key.name}
    for block in blocks:
        inside = (key for key in keys if key.name.startswith(f"{block}."))
        schema["properties"][block] |= _block(key._replace(name=key.name.partition(".")[2]) for key in inside)
    data = schema["properties"]["dataset"]
    data["required"].remove("path")
    path = {"required": ["path"]}
    by_path = {"if": {"required": ["mix"]}, "then": {"not": path}, "else": path}
    if "environment" not in schema["properties"]:
        data |= by_path
        return schema
    schema["required"].remove("dataset")  # an environment of others brings rows
    brought = {
        "required": ["environment"],
        "properties": {"environment": {"type": "string", "pattern": "^verifiers:"}},
    }
    return schema | {"if": brought, "else": {"required": ["dataset"], "properties": {"dataset": by_path}}}


def _block(keys: Iterable[Key]) -> Schema:
    each = list(keys)
    return {
        "type": "object",
        "properties": {key.name: _property(key) for key in each},
        "required": [key.name for key in each if key.is_needed],
        "additionalProperties": False,
    }


def _property(key: Key) -> Schema:
    default = {} if key.is_needed or key.is_computed else {"default": key.default}
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
        yield from _one_of(key)
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


def _one_of(key: Key) -> Iterator[Schema]:
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
