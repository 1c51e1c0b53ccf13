"""What `align check` says of consistency: rows without a prompt, and families that are tried."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.checks.finding import Finding
from align.methods.consistency.checks import check_rows
from align.methods.consistency.rules import is_consistent
from align.methods.sft.consistency.rules import prompt_of
from align.recipe.recipe import Recipe


def check_consistency_data(recipe: Recipe, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Tries the families on the prompts of rows from all over the data."""
    if not is_consistent(recipe.setting):
        return []
    prompts = []
    for row in rows:
        try:
            prompts.append({"id": row["id"], "prompt": prompt_of(row)})
        except ValueError as error:
            return [Finding("error", "data", f"Row {row['id']}: {error}")]
    return check_rows(recipe, prompts)
