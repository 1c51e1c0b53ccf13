from align.checks.memory import activations
from align.recipe.recipe import Recipe


def pair_activations(recipe: Recipe) -> str:
    """Names the activations of a pass over pairs."""
    return activations(recipe, 2, "sequences", " (both responses of a pair, with their prompts)")
