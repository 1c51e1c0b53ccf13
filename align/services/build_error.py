"""Why a trainer could not be built, in words of the recipe."""

import re
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from align.errors import RecipeError
from align.models.hub import refusal, repository
from align.recipe.recipe import Recipe

_FORESEEN = (ValueError, OSError)  # with these, libraries word what is wrong with a setting
_LONGEST_PATH = 3  # parts of the file an error came from


def build_error(recipe: Recipe, error: Exception) -> RecipeError:
    """Words an exception from building a trainer, its cause; one that no library raises on purpose with its place."""
    if str(getattr(getattr(error, "response", None), "url", "")).endswith("/api/repos/create"):
        return RecipeError(f"`push_to_hub: true`: {refusal(error, repository(recipe))}")
    text = str(error).strip() or "There is no message."
    if not isinstance(error, _FORESEEN) or not str(error).strip():
        text = f"{type(error).__name__}: {text} (at {_place(error)})"
    keys = named_keys(recipe.resolved, f"{error}")
    hint = f" It speaks of {' and '.join(f'`{key}`' for key in keys)} of the recipe." if keys else ""
    return RecipeError(f"The trainer could not be built. {text}{hint}")


def named_keys(settings: Mapping[str, Any], text: str) -> list[str]:
    """Lists the keys of a recipe, with those of the block they stand in, that occur in a text; at most three.

    Example:
        >>> named_keys({"seed": 0, "model_init_kwargs": {"foo": 1}}, "__init__() got an unexpected argument 'foo'")
        ['model_init_kwargs.foo']
    """
    words = set(re.findall(r"[A-Za-z_]\w*", text))
    found = [path for path in _paths(settings) if path.rpartition(".")[2] in words and _is_telling(path)]
    whole = [path for path in found if not any(other.startswith(f"{path}.") for other in found)]
    return whole[:3]


def _is_telling(path: str) -> bool:
    """Tells a key from a word of a sentence: `beta1` and `optim_args` are none, `path` and `then` are."""
    name = path.rpartition(".")[2]
    return "." in path.removeprefix("dataset.").removeprefix("then.") or bool(re.search(r"[_\d]", name))


def _paths(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in settings.items():
        path = f"{prefix}{key}"
        yield path
        if isinstance(value, Mapping):
            yield from _paths(value, f"{path}.")


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "an unknown place"
    return f"{'/'.join(Path(frames[-1].filename).parts[-_LONGEST_PATH:])}, line {frames[-1].lineno}"
