"""How images and videos are read: as in training, where nothing else is said."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from align.errors import UserError
from align.recipe.dataset import MediaSettings


def media_settings(recipe: Path | None, data: str | None, given: Mapping[str, Any]) -> MediaSettings:
    """Takes the settings from a recipe and the command line, which wins; `media_dir` is of the recipe's data."""
    found = {} if recipe is None else _from_recipe(recipe, data)
    return check_media({**found, **given})


def check_media(values: Mapping[str, Any]) -> MediaSettings:
    """Checks what a command line says about images and videos."""
    try:
        return MediaSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"`{first['loc'][0]}`: {first['msg']}, got {first['input']!r}.") from error


def _from_recipe(path: Path, data: str | None) -> dict[str, Any]:
    from align.recipe.recipe import load_recipe

    dataset = load_recipe(path).dataset
    if not isinstance(dataset, MediaSettings):
        return {}
    found = {name: getattr(dataset, name) for name in MediaSettings.model_fields}
    of_recipe = [Path(each).resolve() for each in (dataset.path, getattr(dataset, "eval_path", None)) if each]
    if data is None or Path(data).resolve() not in of_recipe:
        del found["media_dir"]
    return found
