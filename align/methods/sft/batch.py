from align.checks.batch import check_rows
from align.checks.finding import Finding
from align.checks.launch import Launch
from align.recipe.recipe import Recipe


def check_batch(recipe: Recipe, launch: Launch, num_rows: int) -> list[Finding]:
    """Says what one step over demonstrations is."""
    if recipe.settings.packing:
        detail = ", each filled with several demonstrations, so that a pass takes fewer steps than said here"
        return check_rows(recipe, launch, num_rows, "rows", detail, 1)
    return check_rows(recipe, launch, num_rows, "demonstrations", "", 1)
