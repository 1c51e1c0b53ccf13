from align.checks.memory import Footprint
from align.methods.pairs.memory import pair_activations
from align.recipe.recipe import Recipe


def footprint(recipe: Recipe) -> Footprint:
    """Says what a reward model keeps in memory; only a pairwise one answers with a letter."""
    return Footprint(pair_activations(recipe), has_lm_head=recipe.settings.model_type == "pairwise")
