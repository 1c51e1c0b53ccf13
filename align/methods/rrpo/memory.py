from align.checks.memory import Footprint
from align.methods.pairs.memory import pair_activations
from align.recipe.recipe import Recipe


def footprint(recipe: Recipe) -> Footprint:
    """Says what pairs and their reference keep in memory."""
    in_advance = getattr(recipe.settings, "precompute_ref_log_probs", None)
    return Footprint(pair_activations(recipe), keeps_reference=not (recipe.model.use_peft or in_advance))
