"""Every value a run is made with: what its recipe is silent about, and what became of what it says, as comments."""

import json
import math
from collections.abc import Mapping
from enum import Enum
from itertools import groupby
from typing import Any

import yaml

from align.recipe.keys import keys_of
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import DEFAULT_ALARMS
from align.recipe.yaml_loader import RecipeDumper
from align.secrets import mask

HEAD = "\n# Also in force, and not written: `NAME: value` in a recipe, or `--NAME value`, changes one.\n"


def unwritten(recipe: Recipe, config: Any) -> str:
    """Words values that are in force and not written, without secrets; a loader of YAML skips them."""
    values = _values(recipe, config)
    written = recipe.resolved.keys() | {f"dataset.{name}" for name in recipe.resolved["dataset"]}
    training, lines = recipe.training, [HEAD]
    for place, keys in groupby(keys_of(recipe.method), lambda key: key.place):
        found = [_line(key.name, values, training, written) for key in keys if key.name in values]
        lines += [f"# -- {place}\n", *filter(None, found)] if any(found) else []
    return "".join(lines)


def _values(recipe: Recipe, config: Any) -> dict[str, Any]:
    values = {key.name: getattr(config, key.name) for key in keys_of(recipe.method) if hasattr(config, key.name)}
    values |= recipe.model.model_dump()
    values |= {f"dataset.{name}": value for name, value in recipe.dataset.model_dump().items()}
    if recipe.reward_funcs:
        values |= {"reward_kwargs": recipe.reward_kwargs} | recipe.rewards.model_dump()
        values["alarms"] = DEFAULT_ALARMS | recipe.rewards.alarms
    return values


def _line(name: str, values: Mapping[str, Any], training: Mapping[str, Any], written: set[str]) -> str:
    value = _plain(values[name])
    if name not in written:
        return f"# {name}: {_word(name, value)}\n"
    if name not in training or training[name] == value:
        return ""
    return f"# {name}: {_word(name, value)}  # written as {_word(name, training[name])}\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "to_dict"):
        return _plain(value.to_dict())
    return value if isinstance(value, str | int | float | None) else str(value)


def _word(name: str, value: Any) -> str:
    """Writes a value on one line, as YAML reads it."""
    shown = mask({name.rpartition(".")[2]: value})[name.rpartition(".")[2]]
    if isinstance(shown, str) and not shown.isprintable():
        return json.dumps(shown)
    text = yaml.dump([shown], Dumper=RecipeDumper, default_flow_style=True, width=math.inf, allow_unicode=True)
    return text[1:-2] if text.count("\n") == 1 else json.dumps(shown)
