from align.methods.consistency.rules import SETTINGS as OF_CONSISTENCY
from align.methods.consistency.rules import is_consistent
from align.recipe.recipe import Recipe

SETTINGS = ("learning_rate", "num_generations", "beta", "temperature", "loss_type", "scale_rewards", "seed")


def settings(recipe: Recipe) -> tuple[str, ...]:
    """Lists the settings that a card shows."""
    return (*SETTINGS, *OF_CONSISTENCY) if is_consistent(recipe.setting) else SETTINGS
