"""Rules between the settings of Crome, for recipes and for the config: nothing of TRL is imported."""

from typing import Any

from align.methods.pairs.config import SHARING
from align.recipe.rules import NOT_NEGATIVE, Rules


def check_crome(settings: Any) -> None:
    """Refuses a setting that has no meaning for the type of model."""
    if settings.model_type == "pairwise" and settings.center_rewards_coefficient is not None:
        raise ValueError(
            "`center_rewards_coefficient` centres the rewards of single answers, and a pairwise model has none. "
            "Remove it, or set `model_type: scalar`."
        )


RULES = Rules(
    choices={"model_type": ("scalar", "pairwise")} | SHARING,
    ranges={"tie_coef": NOT_NEGATIVE},
    together=check_crome,
    of_columns={"tie_coef": ("tie",)},
)
