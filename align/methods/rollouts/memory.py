from align.checks.memory import Footprint
from align.recipe.recipe import Recipe


def footprint(recipe: Recipe) -> Footprint:
    """Says what sampling and the KL to a reference keep in memory."""
    logits = int(recipe.settings.per_device_train_batch_size) * int(recipe.settings.max_completion_length)
    return Footprint(
        f"Activations and the logits of {logits:,} completion tokens",
        keeps_reference=bool(recipe.settings.beta) and not recipe.model.use_peft,
    )
