from align.checks.memory import Footprint
from align.recipe.recipe import Recipe


def footprint(recipe: Recipe) -> Footprint:
    """Says what sampling and the KL to a reference keep in memory."""
    logits = int(recipe.setting("per_device_train_batch_size")) * int(recipe.setting("max_completion_length"))
    return Footprint(
        f"Activations and the logits of {logits:,} completion tokens",
        keeps_reference=bool(recipe.setting("beta")) and not recipe.model.use_peft,
    )
