from align.checks.memory import Footprint, activations
from align.recipe.recipe import Recipe


def footprint(recipe: Recipe) -> Footprint:
    """Says what a reward model on outcomes keeps in memory."""
    return Footprint(
        activations(recipe, 1, "texts"), has_lm_head=False, trains_weights=recipe.settings.head != "ridge"
    )
