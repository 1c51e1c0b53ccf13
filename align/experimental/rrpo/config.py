"""Settings of DDPO and their rules: nothing of TRL is imported."""

from dataclasses import dataclass, field
from typing import Any

from align.recipe.rules import NOT_NEGATIVE, Rules

KEY = "ddpo_gamma"


def turned_on(settings: Any) -> list[str]:
    """Lists the key by which shared tokens count, too, if they do."""
    return [KEY] if getattr(settings, KEY) else []


def check_ddpo(settings: Any) -> None:
    """Refuses settings of RRPO that DDPO does not have."""
    if not turned_on(settings):
        return
    for name, value, why in (("spans", "differing", "weighs what differs"), ("kl_coef", 0.0, "has no KL")):
        if (found := getattr(settings, name)) != value:
            raise ValueError(
                f"`{KEY}` above 0 is DDPO, which {why}: `{name}` must be {value}, got {found}. Or set `{KEY}: 0`."
            )


RULES = Rules(ranges={KEY: NOT_NEGATIVE}, together=check_ddpo)


@dataclass
class WeightedSpans:
    """Settings of DDPO; with `ddpo_gamma: 0`, the default, nothing differs."""

    RULES = RULES

    ddpo_gamma: float = field(
        default=0.0,
        metadata={
            "help": "DDPO (RLHF-V), a rival: weight of tokens that differ, where shared ones weigh 1; 0 is RRPO, for "
            "which shared ones weigh nothing, and 1 is DPO."
        },
    )
