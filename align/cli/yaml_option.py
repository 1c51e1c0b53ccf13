"""Options whose value is a block, written as in a recipe: `--reward_kwargs '{max_length: 200}'`."""

from typing import Any

import yaml

from align.errors import RecipeError, UserError
from align.recipe.yaml_loader import parse_yaml


def read_yaml_option(option: str, text: str, example: str) -> dict[str, Any]:
    """Reads the block; nothing is an empty one.

    Raises:
        UserError: If the value is something else, or no YAML.
    """
    try:
        content = parse_yaml(text) if text.strip() else {}
    except (yaml.YAMLError, RecipeError) as error:
        reason = str(getattr(error, "problem", None) or error).rstrip(".")
        raise UserError(f"`{option}` is not valid YAML: {reason}. Write a block such as '{example}'.") from error
    if not isinstance(content, dict):
        raise UserError(f"`{option}` must be a block such as '{example}', got {text!r}.")
    return content
