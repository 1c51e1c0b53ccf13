"""Rules between the settings of SFT, for recipes and for the config: nothing of TRL is imported."""

from collections.abc import Callable
from typing import Any

from align.methods.consistency.rules import CHOICES, RANGES
from align.methods.sft.consistency.rules import check_rows_apart
from align.recipe.ranges import COUNT, NOT_NEGATIVE
from align.recipe.rules import Rules

NO_DEEPSPEED = (
    "`lfu_coef` above 0 cannot be trained with DeepSpeed: it updates the weights within the backward pass of the "
    "loss, before LfU has moved them and seen what that changes. Launch with DDP, or set `lfu_coef: 0`."
)
NO_FSDP = (
    "`lfu_coef` above 0 needs whole weights on every process, and FSDP shards them. Launch with DDP, or set "
    "`lfu_coef: 0`."
)
NO_PROMPT_LEARNING = (
    "`lfu_coef` above 0 compares hidden states behind the row's own tokens, and {kind} learns a prompt in front of "
    "them, which the step would not move. Use LoRA, train all weights, or set `lfu_coef: 0`."
)
NOT_REACHED = (
    "`lfu_coef` above 0 does nothing: all that is trained lies above the layers that are compared, so their states "
    "teach it nothing. Name later layers in `lfu_layers`, or train earlier ones."
)
ROUNDED_AWAY = (
    "`lfu_coef` above 0 does nothing: `lfu/step_length` is 0 in the first step, since its gradient is 0 or weights in "
    "16 bits round it away. Raise `lfu_alpha`, or set `lfu_mode: aux_lora`."
)


def is_plain_sft(setting: Callable[[str], Any]) -> bool:
    """Says whether nothing is left of LfU, so that TRL's own step is made.

    Example:
        >>> is_plain_sft({"lfu_coef": 5.0, "lfu_alpha": 0.0}.get)
        True
    """
    return bool(setting("lfu_coef") == 0 or setting("lfu_alpha") == 0)


def check_together(setting: Callable[[str], Any]) -> None:
    """Refuses settings that mean nothing together, and those that LfU cannot be trained with.

    Args:
        setting: Reads a setting by name.

    Raises:
        ValueError: At the first.
    """
    if setting("packing") and setting("max_length") is None:
        raise ValueError("`packing: true` fills rows of `max_length` tokens, and that is null. Write a number.")
    if setting("padding_free") and not setting("packing") and setting("max_length") is not None:
        raise ValueError(
            f"`padding_free: true` cuts no row to `max_length: {setting('max_length')}`. Set `max_length: null`, or "
            "`packing: true`, which does."
        )
    if setting("label_smoothing_factor") and setting("loss_type") == "dft":
        raise ValueError(
            f"`label_smoothing_factor: {setting('label_smoothing_factor')}` does nothing with `loss_type: dft`. "
            "Remove one of them."
        )
    check_rows_apart(setting)
    if is_plain_sft(setting):
        return
    layers = setting("lfu_layers")
    if layers is not None and not layers:
        raise ValueError("`lfu_layers` is empty, and nothing would be compared. Name layers, or remove it for all.")
    if setting("auto_find_batch_size"):
        raise ValueError(
            "`auto_find_batch_size: true` begins anew in the middle of a step, of which `lfu_coef` above 0 has kept "
            "the batches. Remove it, and lower `per_device_train_batch_size`."
        )
    if setting("deepspeed"):
        raise ValueError(NO_DEEPSPEED)
    if setting("fsdp"):
        raise ValueError(NO_FSDP)
    if (setting("gradient_checkpointing_kwargs") or {}).get("use_reentrant"):
        raise ValueError(
            "`gradient_checkpointing_kwargs: {use_reentrant: true}` hides the hidden states inside a layer from their "
            "gradient, which `lfu_coef` above 0 needs. Remove it: without it checkpointing works."
        )


RULES = Rules(
    choices={"lfu_mode": ("params", "aux_lora")} | CHOICES,
    ranges={"lfu_coef": NOT_NEGATIVE, "lfu_alpha": NOT_NEGATIVE, "lfu_rank": COUNT} | RANGES,
    together=check_together,
)
