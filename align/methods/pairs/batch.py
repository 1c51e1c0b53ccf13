from align.checks.batch import check_rows
from align.checks.finding import Finding
from align.checks.launch import Launch
from align.recipe.recipe import Recipe


def check_batch(recipe: Recipe, launch: Launch, num_pairs: int) -> list[Finding]:
    """Says what one step over pairs is."""
    return check_rows(recipe, launch, num_pairs, "pairs", ", of two sequences each", 2)
