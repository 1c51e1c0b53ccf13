"""Rules for the settings of GRPO: nothing of TRL is imported."""

from collections.abc import Callable
from typing import Any

from align.methods.consistency.rules import CHOICES, RANGES, check_consistency, is_consistent
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
    check_consistency(setting)
    canary.check_canary(setting)
    _, environments = specs_of(setting)
    if environments and is_consistent(setting):
        raise ValueError(
            "`consistency_coef` above 0 perturbs the prompts of the data, and with `environment_factory` completions "
            "may stand behind others. Set `consistency_coef: 0`."
        )


RULES = Rules(
    choices=CHOICES,
    ranges=RANGES | canary.RANGES | {"tool_timeout": POSITIVE, "tool_memory_gb": POSITIVE},
    together=check_together,
)
