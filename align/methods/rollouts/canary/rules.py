"""Rules of the canary that hold for every method that samples: nothing of TRL is imported."""

from typing import Any

from align.recipe.ranges import COUNT, NOT_NEGATIVE, Range

RANGES: dict[str, Range] = {"canary_steps": NOT_NEGATIVE, "canary_prompts": COUNT}


def check_canary(settings: Any) -> None:
    """Refuses settings of the canary that cannot be used.

    Args:
        settings: Of a recipe, or a config.

    Raises:
        ValueError: At the first.
    """
    for name, allowed in RANGES.items():
        if not allowed.holds(getattr(settings, name)):
            raise ValueError(f"`{name}` must be {allowed}, got {getattr(settings, name)}.")
    if settings.canary_steps and not settings.use_vllm:
        raise ValueError(
            "`canary_steps` compares log-probabilities of vLLM with the trainer's, and without `use_vllm: true` the "
            "trainer writes the completions itself. Set `use_vllm: true`, or `canary_steps: 0`."
        )
