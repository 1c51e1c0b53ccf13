"""Rules for the settings of GRPO: nothing of TRL is imported."""

from collections.abc import Callable
from typing import Any

from align.methods.grpo.tools.named import specs_of
from align.methods.rollouts.canary import rules as canary
from align.recipe.ranges import POSITIVE
from align.recipe.rules import Rules


def check_together(setting: Callable[[str], Any]) -> None:
    """Refuses settings that cannot be used, alone or together.

    Args:
        setting: Reads a setting by name.

    Raises:
        ValueError: At the first.
    """
    canary.check_canary(setting)
    specs_of(setting)


RULES = Rules(
    ranges=canary.RANGES | {"tool_timeout": POSITIVE, "tool_memory_gb": POSITIVE},
    together=check_together,
)
