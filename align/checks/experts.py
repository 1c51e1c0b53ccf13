"""Whether the model that is on this machine has the experts that a recipe's load-balancing loss is about."""

from align.checks.finding import Finding
from align.checks.model_kwargs import config_keys
from align.recipe.recipe import Recipe

KEY = "router_aux_loss_coef"
ROUTED = "output_router_logits"  # TRL 1.16 looks for it in the config once the model is loaded


def check_experts(recipe: Recipe) -> list[Finding]:
    """Finds a weight of that loss for a model which is no mixture of experts; one with images is left to TRL."""
    weight = recipe.setting(KEY) if recipe.has_setting(KEY) else None
    kind, keys = config_keys(recipe.model.model_name_or_path) if weight else (None, set())
    if kind is None or {ROUTED, "text_config"} & keys:
        return []
    text = (
        f"`{KEY}: {weight:g}` weighs the load-balancing loss of a mixture of experts, and a model of type {kind} is "
        "none. Remove it."
    )
    return [Finding("error", "model", text)]
