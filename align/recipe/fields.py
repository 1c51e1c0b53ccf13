"""The fields of a trainer's config, read from its source: importing TRL takes seconds, and a typo should not."""

import ast
from functools import cache
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from align.methods import METHODS
from align.recipe.signatures import Source, as_type, find_definition

# Where a recipe is silent, in place of the defaults of TRL and transformers.
OUR_DEFAULTS: dict[str, Any] = {"log_completions": True, "num_completions_to_print": 0}
OUR_FOLDER = "outputs/{method}-{name}"
PARENTS = ("trl", "transformers")  # packages of the classes that configs of methods build on


class ConfigField(NamedTuple):
    """One field of a config dataclass."""

    name: str
    type: Any  # pydantic can validate it
    default: Any  # None where the source computes it
    choices: tuple[str, ...] = ()  # of its metadata
    help: str = ""  # of its metadata
    owner: tuple[str, str] = ("", "")  # package and name of the class whose field it is
    is_computed: bool = False  # the source has no written default


@cache
def config_fields(method: str) -> dict[str, ConfigField]:
    """Lists the fields of a method's config by name, experimental ones among them, without importing torch."""
    return chain_fields((*METHODS[method].experimental_chain, *METHODS[method].config_chain))


def own_fields(chain: tuple[tuple[str, str, str], ...], owner: str | None = None) -> list[str]:
    """Lists the settings that a config adds to those of TRL and transformers, all or those of one of its classes."""
    fields = chain_fields(chain).values()
    return [each.name for each in fields if each.owner[0] not in PARENTS and owner in (None, each.owner[1])]


@cache
def chain_fields(chain: tuple[tuple[str, str, str], ...]) -> dict[str, ConfigField]:
    """Lists the fields of classes that build on each other, nearest first, by name."""
    fields: dict[str, ConfigField] = {}
    for package, file, class_name in reversed(chain):
        fields |= _class_fields((package, file), class_name)
    return fields


def validate_field(field: ConfigField, value: Any) -> Any:
    """Converts a value to a field's type: numbers written as strings become numbers, one text a list of texts.

    Raises:
        pydantic.ValidationError: If the value does not fit.
    """
    if field.type == list[str] and isinstance(value, str):
        value = [value]
    return TypeAdapter(field.type).validate_python(value, strict=isinstance(value, bool))


def _class_fields(source: Source, class_name: str) -> dict[str, ConfigField]:
    fields = {}
    for node in find_definition(source, class_name).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, kind, facts = node.target.id, as_type(node.annotation), _metadata(node.value)
            if facts.get("const") is True:  # `fsdp` is annotated as text, and also a switch
                kind = bool | kind
            choices, told = tuple(facts.get("choices", ())), " ".join(str(facts.get("help", "")).split())
            default, is_computed = _default(node.value)
            owner, told = (source[0], class_name), told.replace("%%", "%")  # as argparse wants it written
            fields[name] = ConfigField(name, kind, default, choices, told, owner, is_computed)
    return fields


def _metadata(value: ast.expr | None) -> dict[str, Any]:
    """Reads what is written out in `field(metadata={"choices": [...]})`."""
    metadata = next((item.value for item in getattr(value, "keywords", []) if item.arg == "metadata"), None)
    found = {}
    if isinstance(metadata, ast.Dict):
        for key, item in zip(metadata.keys, metadata.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(item, ast.List | ast.Constant):
                found[str(key.value)] = ast.literal_eval(item)
    return found


def _default(value: ast.expr | None) -> tuple[Any, bool]:
    """Reads a default, and says whether there is one that is computed."""
    if isinstance(value, ast.Call):  # field(default=..., metadata=...) or field(default_factory=lambda: ..., ...)
        given = {keyword.arg: keyword.value for keyword in value.keywords}
        factory = given.get("default_factory")
        if isinstance(factory, ast.Name) and factory.id in ("list", "dict"):
            return {"list": [], "dict": {}}[factory.id], False
        value = given.get("default", factory.body if isinstance(factory, ast.Lambda) else None)
    try:
        return (ast.literal_eval(value) if value is not None else None), False
    except ValueError:
        return None, True
