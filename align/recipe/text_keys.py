"""Keys whose value is a text, so that what looks like a number on a command line stays one."""

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from align.methods import METHODS
from align.recipe.fields import config_fields
from align.recipe.mixture import dataset_class
from align.recipe.model import ModelSettings
from align.recipe.reward_settings import RewardSettings

MODEL_BLOCK = "model_init_kwargs"
OF_LOADING = ("revision", "code_revision", "subfolder", "variant", "cache_dir", "gguf_file", "token")


def text_keys(content: Mapping[str, Any]) -> frozenset[str]:
    """Lists them for the method of a recipe, with the names of their blocks; none if there is no such method."""
    method = content.get("method")
    if not isinstance(method, str) or method not in METHODS:
        return frozenset()
    data = dataset_class(method, content)
    found = set(_of_fields({name: each.type for name, each in config_fields(method).items()}))
    for model, block in ((ModelSettings, ""), (RewardSettings, ""), (data, "dataset.")):
        kinds = {name: each.annotation for name, each in model.model_fields.items()}
        found |= {block + name for name in _of_fields(kinds)}
    found |= {f"{MODEL_BLOCK}.{name}" for name in OF_LOADING}
    then = content.get("then")
    return frozenset(found | {f"then.{name}" for name in text_keys(then if isinstance(then, Mapping) else {})})


def _of_fields(kinds: Mapping[str, Any]) -> Iterator[str]:
    for name, kind in kinds.items():
        if kind is str or (get_origin(kind) in (Union, UnionType) and {*get_args(kind)} == {str, NoneType}):
            yield name
