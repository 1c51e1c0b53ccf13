"""Rules between the settings of Crome, for recipes and for the config: nothing of TRL is imported."""

from collections.abc import Callable
from typing import Any

from align.recipe.ranges import NOT_NEGATIVE
from align.recipe.rules import Rules


def check_crome(setting: Callable[[str], Any]) -> None:
    """Refuses settings that are out of range or have no meaning for the type of model.

    Args:
        setting: Reads a setting by name.

    Raises:
        ValueError: If there is one.
    """
    if not setting("tie_coef") >= 0:
        raise ValueError(f"`tie_coef` must be 0 or more, got {setting('tie_coef')}.")
    if not setting("destroyed_ties") >= 0:
        raise ValueError(f"`destroyed_ties` must be 0 or more, got {setting('destroyed_ties')}.")
    if setting("destroyed_ties") > 0:
        _check_destroyed(setting)
    if setting("model_type") == "pairwise" and setting("center_rewards_coefficient") is not None:
        raise ValueError(
            "`center_rewards_coefficient` centres the rewards of single answers, and a pairwise model has none. "
            "Remove it, or set `model_type: scalar`."
        )


def _check_destroyed(setting: Callable[[str], Any]) -> None:
    if setting("model_type") == "pairwise":
        raise ValueError(
            "`destroyed_ties` destroys one answer at a time, and a pairwise model reads both at once. Remove it, or "
            "set `model_type: scalar`."
        )
    for launcher in ("deepspeed", "fsdp"):
        if setting(launcher):
            raise ValueError(
                f"`destroyed_ties` above 0 asks for gradients of tokens in the middle of a step, which `{launcher}` "
                "was not tried with. Launch with DDP, or set `destroyed_ties: 0`."
            )
    if (setting("gradient_checkpointing_kwargs") or {}).get("use_reentrant"):
        raise ValueError(
            "`gradient_checkpointing_kwargs: {use_reentrant: true}` gives no gradients of tokens, which "
            "`destroyed_ties` above 0 needs. Remove it: without it checkpointing works."
        )


RULES = Rules(
    choices={"model_type": ("scalar", "pairwise")},
    ranges={"tie_coef": NOT_NEGATIVE, "destroyed_ties": NOT_NEGATIVE},
    together=check_crome,
)
