"""Rules of consistency, for settings, launches, rows and models: nothing of TRL is imported."""

from collections.abc import Callable, Mapping
from typing import Any

from align.methods.sft.consistency.families import Prompt, check_specs

NO_FSDP = (
    "`consistency_coef` above 0 needs the output head whole on every process, and FSDP shards it. Launch with DDP or "
    "DeepSpeed, or set `consistency_coef: 0`."
)
# Names under which configs of models say that logits are scaled or capped behind the head.
_SCALES = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")


def is_consistent(setting: Callable[[str], Any]) -> bool:
    """Says whether answers behind perturbed prompts are compared."""
    return bool(setting("consistency_coef"))


def check_consistency(setting: Callable[[str], Any]) -> None:
    """Refuses settings that consistency cannot be trained with.

    Raises:
        ValueError: At the first.
    """
    if setting("consistency_families") is not None:
        check_specs(setting("consistency_families"))
    if not is_consistent(setting):
        return
    if setting("lfu_coef") and setting("lfu_alpha"):
        raise ValueError(
            "`lfu_coef` and `consistency_coef` are both above 0: the step of LfU is that of the SFT loss alone. Set "
            "one of them to 0."
        )
    for name in ("packing", "padding_free"):
        if setting(name):
            raise ValueError(
                f"`{name}: true` joins rows, and `consistency_coef` above 0 needs each apart. Set `{name}: false`."
            )
    if setting("truncation_mode") == "keep_end":
        raise ValueError(
            "`truncation_mode: keep_end` cuts the prompt off, which `consistency_coef` above 0 perturbs. Use "
            "`keep_start`."
        )
    if setting("auto_find_batch_size"):
        raise ValueError(
            "`auto_find_batch_size: true` begins anew in the middle of a step, of which `consistency_coef` above 0 "
            "has changed the batches. Remove it, and lower `per_device_train_batch_size`."
        )
    if (setting("dataset_kwargs") or {}).get("skip_prepare_dataset"):
        raise ValueError(
            "`dataset_kwargs: {skip_prepare_dataset: true}` leaves no prompts to change, which `consistency_coef` "
            "above 0 needs. Remove it."
        )
    if setting("fsdp"):
        raise ValueError(NO_FSDP)


def prompt_of(row: Mapping[str, Any]) -> Prompt:
    """Returns what stands before the answer of a row.

    Raises:
        ValueError: If a conversation does not end with an answer to something.

    Example:
        >>> prompt_of({"prompt": "1 + 1?", "completion": "2"})
        '1 + 1?'
    """
    if row.get("prompt") is not None:
        prompt: Prompt = row["prompt"]
        return prompt
    messages = row["messages"]
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise ValueError(
            "`consistency_coef` above 0 compares answers behind two prompts, and these messages do not end with an "
            f"answer to something: roles {[message['role'] for message in messages]}. End them with the assistant's, "
            "or leave the row out."
        )
    return list(messages[:-1])


def logit_scaling(config: Mapping[str, Any]) -> str:
    """Words what a model does to logits behind its head, which is not repeated here; empty if nothing.

    Example:
        >>> logit_scaling({"logits_scaling": 1.0})
        ''
    """
    found = [name for name in _SCALES if config.get(name) not in (None, 1, 1.0)]
    if not found:
        return ""
    return (
        f"The model scales or caps its logits (`{found[0]}: {config[found[0]]}`), which `consistency_coef` above 0 "
        "does not do. Set `consistency_coef: 0`, or train another model."
    )
