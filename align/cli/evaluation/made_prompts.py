"""Prompts that the recipe of a run makes of the columns of its rows, made for other rows in the same way."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.console import say
from align.data.columns import our_names
from align.data.kinds import first_columns
from align.data.row_templates import RowTemplate, template_of
from align.recipe.made_prompts import MADE, MadePrompts

if TYPE_CHECKING:
    from align.recipe.recipe import Recipe


def prompts_made_by(
    recipe: "Recipe | None", data: str, split: str | None, columns: Mapping[str, Any]
) -> RowTemplate | None:
    """Returns what makes the prompts of rows that have none; None where rows have theirs, or lack what it reads.

    Args:
        recipe: Of the model's run, or the one that is named.
        data: The rows.
        split: Of a folder or hub data set.
        columns: Their columns that have another name.
    """
    made = recipe and recipe.dataset
    template = template_of(made) if isinstance(made, MadePrompts) else None
    if template is None:
        return None
    names = set(our_names(first_columns(data, split), columns))
    return template if MADE not in names and set(template.columns) <= names else None


def say_made(template: RowTemplate, path: Path) -> None:
    """Says that prompts are made, and in which wording."""
    count = len(template.wordings)
    which = "" if count == 1 else f", in the first of its {count} wordings"
    say(f"`dataset.prompt_template` of {path} makes the prompts{which}.")
