"""Settings of the canary and their rules: nothing of TRL is imported."""

from dataclasses import dataclass, field
from typing import Any

from align.recipe.rules import COUNT, NOT_NEGATIVE, Range, Rules, SettingsBeside, check_ranges

RANGES: dict[str, Range] = {"canary_steps": NOT_NEGATIVE, "canary_prompts": COUNT}


def turned_on(settings: Any) -> list[str]:
    """Lists the key by which there is a canary, if there is one."""
    return ["canary_steps"] if settings.canary_steps else []


def check_canary(settings: Any) -> None:
    """Refuses settings of the canary that cannot be used."""
    check_ranges(settings, RANGES)
    if settings.canary_steps and not settings.use_vllm:
        raise ValueError(
            "`canary_steps` compares log-probabilities of vLLM with the trainer's, and without `use_vllm: true` the "
            "trainer writes the completions itself. Set `use_vllm: true`, or `canary_steps: 0`."
        )


RULES = Rules(ranges=RANGES, together=check_canary)


@dataclass
class CanaryConfig(SettingsBeside):
    """Settings of the canary; with `canary_steps: 0`, the default, nothing differs."""

    RULES = RULES

    canary_steps: int = field(
        default=0,
        metadata={
            "help": "Steps after which vLLM writes behind the same prompts again, and its log-probabilities are "
            "compared with the trainer's; also at the first step of a process. With 0 never."
        },
    )
    canary_prompts: int = field(
        default=8,
        metadata={"help": "Prompts of the training data that are drawn for it, by `seed`; each is continued once."},
    )
