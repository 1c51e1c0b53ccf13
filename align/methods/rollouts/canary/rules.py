"""Rules of the canary that hold for every method that samples: nothing of TRL is imported."""

from collections.abc import Callable
from typing import Any

from align.recipe.ranges import COUNT, NOT_NEGATIVE, Range

RANGES: dict[str, Range] = {"canary_steps": NOT_NEGATIVE, "canary_prompts": COUNT}


def check_canary(setting: Callable[[str], Any]) -> None:
    """Refuses settings of the canary that cannot be used.

    Args:
        setting: Reads a setting by name.

    Raises:
        ValueError: At the first.
    """
    for name, allowed in RANGES.items():
        if not allowed.holds(setting(name)):
            raise ValueError(f"`{name}` must be {allowed}, got {setting(name)}.")
    if setting("canary_steps") and not setting("use_vllm"):
        raise ValueError(
            "`canary_steps` compares log-probabilities of vLLM with the trainer's, and without `use_vllm: true` the "
            "trainer writes the completions itself. Set `use_vllm: true`, or `canary_steps: 0`."
        )
