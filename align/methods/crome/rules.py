"""Rules between the settings of Crome, for recipes and for the config: nothing of TRL is imported."""

from typing import Any

from align.methods.pairs.config import SHARING
from align.recipe.rules import NOT_NEGATIVE, Rules


def check_crome(settings: Any) -> None:
    """Refuses settings that are out of range or have no meaning for the type of model."""
    if not settings.tie_coef >= 0:
        raise ValueError(f"`tie_coef` must be 0 or more, got {settings.tie_coef}.")
    if settings.model_type == "pairwise" and settings.center_rewards_coefficient is not None:
        raise ValueError(
            "`center_rewards_coefficient` centres the rewards of single answers, and a pairwise model has none. "
            "Remove it, or set `model_type: scalar`."
        )


RULES = Rules(
    choices={"model_type": ("scalar", "pairwise")} | SHARING, ranges={"tie_coef": NOT_NEGATIVE}, together=check_crome
)
