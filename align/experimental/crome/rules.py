"""Rules of Crome's experiments, for recipes and for the config: nothing of TRL is imported."""

from collections.abc import Callable
from typing import Any

from align.recipe.ranges import NOT_NEGATIVE
from align.recipe.rules import Rules

ADAPTER_REFUSED = (
    "`{knob}` adds a term to the score head, and an adapter is saved with a head of its own. "
    "Train all weights: `use_peft: false` in a recipe, no `peft_config` in Python."
)


def turned_on(setting: Callable[[str], Any]) -> list[str]:
    """Lists the keys that add something to Crome.

    Example:
        >>> turned_on({"vib_coef": 0.0, "num_heads": 2}.get)
        ['num_heads']
    """
    is_on = {"destroyed_ties": setting("destroyed_ties"), "vib_coef": setting("vib_coef")}
    return [key for key, is_set in (is_on | {"num_heads": setting("num_heads") not in (None, 1)}).items() if is_set]


def check_together(setting: Callable[[str], Any]) -> None:
    """Refuses settings that are out of range or have no meaning for the type of model.

    Args:
        setting: Reads a setting by name.

    Raises:
        ValueError: If there is one.
    """
    for name, allowed in RULES.ranges.items():
        if not allowed.holds(setting(name)):
            raise ValueError(f"`{name}` must be {allowed}, got {setting(name)}.")
    if setting("num_heads") not in (1, 2):
        raise ValueError(f"`num_heads` must be 1 or 2, got {setting('num_heads')}.")
    if setting("destroyed_ties") > 0:
        _check_destroyed(setting)
    if setting("vib_coef") > 0:
        _check_head("vib_coef", setting)
    if setting("num_heads") == 2:
        _check_head("num_heads", setting)
        if setting("vib_coef") > 0:
            raise ValueError("`vib_coef` and `num_heads: 2` both change the score head. Leave one of them out.")


def _check_destroyed(setting: Callable[[str], Any]) -> None:
    if setting("model_type") == "pairwise":
        raise ValueError(
            "`destroyed_ties` destroys one answer at a time, and a pairwise model reads both at once. Remove it, or "
            "set `model_type: scalar`."
        )
    if (setting("gradient_checkpointing_kwargs") or {}).get("use_reentrant"):
        raise ValueError(
            "`gradient_checkpointing_kwargs: {use_reentrant: true}` gives no gradients of tokens, which "
            "`destroyed_ties` above 0 needs. Remove it: without it checkpointing works."
        )


def _check_head(knob: str, setting: Callable[[str], Any]) -> None:
    if setting("model_type") == "pairwise":
        raise ValueError(
            f"`{knob}` changes the score head, and a pairwise model answers with a letter. Remove it, or set "
            "`model_type: scalar`."
        )
    if setting("fsdp"):
        raise ValueError(
            f"`{knob}` adds a term to the score head, which `fsdp` was not tried with. Launch with DDP or ZeRO-2, or "
            f"remove `{knob}`."
        )


RULES = Rules(
    ranges=dict.fromkeys(("destroyed_ties", "vib_coef", "disagreement_coef"), NOT_NEGATIVE), together=check_together
)
