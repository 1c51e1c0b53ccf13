"""Rules of LfU, for recipes and for the config: nothing of TRL is imported."""

from collections.abc import Sequence
from typing import Any

from align.recipe.rules import COUNT, NOT_NEGATIVE, Rules

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


def turned_on(settings: Any) -> list[str]:
    """Lists the keys by which something is left of LfU; without one TRL's own step is made.

    Example:
        >>> from types import SimpleNamespace
        >>> turned_on(SimpleNamespace(lfu_coef=5.0, lfu_alpha=0.0))
        []
    """
    return ["lfu_coef"] if settings.lfu_coef and settings.lfu_alpha != 0 else []


def chosen_layers(layers: Sequence[int] | None, number: int) -> list[int]:
    """Returns the layers to compare, counted from 0, or from -1 for the last; all where none are named.

    Example:
        >>> chosen_layers([0, -1], 4)
        [0, 3]
    """
    if layers is None:
        return list(range(number))
    for layer in layers:
        if not -number <= layer < number:
            raise ValueError(f"`lfu_layers` names layer {layer}, and the model has layers 0 to {number - 1}.")
    chosen = [layer % number for layer in layers]
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"`lfu_layers` names a layer twice: {list(layers)}. Name each once.")
    return chosen


def check_together(settings: Any) -> None:
    """Refuses settings that LfU cannot be trained with."""
    if not turned_on(settings):
        return
    layers = settings.lfu_layers
    if layers is not None and not layers:
        raise ValueError("`lfu_layers` is empty, and nothing would be compared. Name layers, or remove it for all.")
    if settings.auto_find_batch_size:
        raise ValueError(
            "`auto_find_batch_size: true` repeats a step whose batches `lfu_coef` above 0 has kept already. Remove "
            "it, and lower `per_device_train_batch_size`."
        )
    if settings.deepspeed:
        raise ValueError(NO_DEEPSPEED)
    if settings.fsdp:
        raise ValueError(NO_FSDP)
    if (settings.gradient_checkpointing_kwargs or {}).get("use_reentrant"):
        raise ValueError(
            "`gradient_checkpointing_kwargs: {use_reentrant: true}` hides the hidden states inside a layer from their "
            "gradient, which `lfu_coef` above 0 needs. Remove it: without it checkpointing works."
        )


RULES = Rules(
    choices={"lfu_mode": ("params", "aux_lora")},
    ranges={"lfu_coef": NOT_NEGATIVE, "lfu_alpha": NOT_NEGATIVE, "lfu_rank": COUNT},
    together=check_together,
    read_with={("lfu_coef",): ("lfu_alpha", "lfu_mode", "lfu_layers", "lfu_rank")},
)
