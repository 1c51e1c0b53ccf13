"""Reads a block of a recipe as the class that says what it may hold."""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from align.errors import RecipeError
from align.recipe.problems import first_problem, shown
from align.recipe.rules import suggestion

Block = TypeVar("Block", bound=BaseModel)


def read_block(model: type[Block], prefix: str, values: Mapping[str, Any]) -> Block:
    """Validates the keys and values of a block.

    Args:
        model: What it may hold.
        prefix: Of its keys, with the dot: `dataset.`.
        values: The block.

    Raises:
        RecipeError: At the first key or value that is wrong, with its full name.
    """
    if unknown := unknown_keys(model, prefix, values):
        raise RecipeError(" ".join(unknown))
    for key, value in values.items():
        if isinstance(value, bool) and _reads_as_one(model.model_fields[key].annotation):
            raise RecipeError(f"`{prefix}{key}` must be a number; got {shown(value)} (bool).")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError(first_problem(prefix.rstrip("."), error, list(values))) from error


def _reads_as_one(kind: Any) -> bool:
    """Tells the types of numbers, as which pydantic reads true as 1."""
    kinds = get_args(kind) or (kind,)
    return bool not in kinds and bool({int, float} & {each for each in kinds if isinstance(each, type)})


def unknown_keys(model: type[BaseModel], prefix: str, values: Mapping[str, Any]) -> list[str]:
    """Words each key that a block may not hold."""
    known = list(model.model_fields)
    return [f"Unknown key `{prefix}{key}`.{suggestion(str(key), known)}" for key in values if key not in known]


def as_mapping(name: str, value: Any) -> Mapping[str, Any]:
    """Returns a block.

    Raises:
        RecipeError: If it is something else.
    """
    if not isinstance(value, Mapping):
        needs = " It needs at least `path`." if name.split(".")[0] == "dataset" else ""
        raise RecipeError(f"`{name}` must be a block of `key: value` lines, got {shown(value)}.{needs}")
    return value
