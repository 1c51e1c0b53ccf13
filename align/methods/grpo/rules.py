"""Rules for the settings of GRPO: nothing of TRL is imported."""

from typing import Any

from align.methods.rollouts.config import OF_CALLS, SKIPPING
from align.recipe.rules import POSITIVE, Rules
from align.tools.environments import check_name
from align.tools.named import specs_of


def _check_named(settings: Any) -> None:
    """Refuses tools and environments that are named in no way that can be found."""
    specs_of(settings)
    if settings.environment is not None:
        if settings.environment_factory:
            raise ValueError("`environment` and `environment_factory` each hold a rollout's state. Keep one.")
        check_name(settings.environment)


RULES = Rules(
    choices=SKIPPING,
    ranges={"tool_timeout": POSITIVE, "tool_memory_gb": POSITIVE},
    together=_check_named,
    read_with={("tools", "environment_factory", "environment"): OF_CALLS},
)
