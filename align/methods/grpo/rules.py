"""Rules for the settings of GRPO: nothing of TRL is imported."""

from typing import Any

from align.methods.grpo.tools.named import specs_of
from align.methods.rollouts.canary import rules as canary
from align.recipe.ranges import POSITIVE
from align.recipe.rules import Rules


def check_together(settings: Any) -> None:
    """Refuses settings that cannot be used, alone or together.

    Args:
        settings: Of a recipe, or a config.

    Raises:
        ValueError: At the first.
    """
    canary.check_canary(settings)
    specs_of(settings)


RULES = Rules(
    ranges=canary.RANGES | {"tool_timeout": POSITIVE, "tool_memory_gb": POSITIVE},
    together=check_together,
)
