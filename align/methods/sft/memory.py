from align.checks.memory import Footprint, activations
from align.recipe.recipe import Recipe


def footprint(recipe: Recipe) -> Footprint:
    """Says what SFT keeps in memory."""
    return Footprint(activations(recipe, 1, "sequences"))
