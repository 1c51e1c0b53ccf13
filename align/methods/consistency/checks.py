"""What `align check` says of families that perturb prompts: they are tried on rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.checks.families import Change, try_families
from align.checks.finding import Finding
from align.methods.consistency.prompts import other_prompt
from align.methods.consistency.rules import consistency_families, is_consistent
from align.recipe.recipe import Recipe
from rewards.scoring.families import ON_PROMPTS


def check_rows(
    recipe: Recipe,
    rows: Sequence[Mapping[str, Any]],
    change: Change = other_prompt,
    known: Sequence[str] = ON_PROMPTS,
) -> list[Finding]:
    """Tries the families of a recipe on its rows, where it asks for consistency.

    Args:
        recipe: The recipe.
        rows: With what `change` reads.
        change: Draws another prompt of a row.
        known: The families that can be used.
    """
    if not is_consistent(recipe.setting):
        return []
    if any(row.get("images") for row in rows):
        text = "`consistency_coef` above 0 compares prompts of text, and rows have images. Set it to 0."
        return [Finding("error", "families", text)]
    try:
        families = consistency_families(recipe.setting("consistency_families"), recipe.path.parent, known)
    except ValueError as error:
        return [Finding("error", "families", str(error))]
    return try_families(families, rows, change, "their answers are not compared")
