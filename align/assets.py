"""Finds shipped recipes and launch files: beside the package in a checkout, inside it in an installed wheel."""

from pathlib import Path

from align.errors import RecipeError
from align.recipe.rules import suggestion

_PACKAGE = Path(__file__).resolve().parent


def asset_dir(name: str) -> Path:
    """Returns the folder `recipes` or `ds_configs`."""
    inside = _PACKAGE / "_assets" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def shipped_recipes() -> dict[str, Path]:
    """Lists the shipped recipes by short name, such as `acre/quickstart`."""
    root = asset_dir("recipes")
    return {str(path.relative_to(root).with_suffix("")): path for path in sorted(root.glob("*/*.yaml"))}


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
