"""Finds shipped recipes and launch files: beside the package in a checkout, inside it in an installed wheel."""

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from align.errors import RecipeError
from align.recipe.rules import suggestion
from align.recipe.yaml_loader import dump_yaml, resolve_paths

_PACKAGE = Path(__file__).resolve().parent


def asset_dir(name: str) -> Path:
    """Returns the folder `recipes` or `ds_configs`."""
    inside = _PACKAGE / "_assets" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def shipped_recipes() -> dict[str, Path]:
    """Lists the shipped recipes by short name, such as `acre/quickstart`."""
    root = asset_dir("recipes")
    return {str(path.relative_to(root).with_suffix("")): path for path in sorted(root.glob("*/*.yaml"))}


def written_recipe(recipe: str | Path | Mapping[str, Any]) -> str:
    """Returns the name of a recipe; keys and values are written to a file that is there until this process ends.

    Paths such as `./rows.jsonl` among the values are relative to the current folder.

    Raises:
        RecipeError: If a value is none that a recipe can hold.
    """
    if not isinstance(recipe, Mapping):
        return str(recipe)
    try:
        text = dump_yaml(resolve_paths(recipe, Path.cwd()))
    except yaml.YAMLError as error:
        raise RecipeError(
            f"The recipe holds a value that is no text, number, list or block: {error.args[-1]!r}."
        ) from error
    return str(_file_of(text))


@cache
def _file_of(text: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="align-recipe-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def find_recipe(name: str) -> Path:
    """Resolves a path, or the short name of a shipped recipe.

    Raises:
        RecipeError: If neither exists.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = shipped_recipes()
    short = name.removeprefix("recipes/").removesuffix(".yaml")
    if short in shipped:
        return shipped[short]
    if name.startswith("-"):
        raise RecipeError(f"The recipe comes first and its keys behind it, RECIPE {name} ...; got {name!r} first.")
    raise RecipeError(f"There is no recipe {name!r}.{suggestion(short, list(shipped))} `align recipes` lists them.")
