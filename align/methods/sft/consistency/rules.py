"""Rules of consistency for settings and rows of demonstrations: nothing of TRL is imported."""

from collections.abc import Callable, Mapping
from typing import Any

from align.data.conversations import check_prompt
from align.methods.consistency.rules import check_consistency, is_consistent

Prompt = str | list[dict[str, Any]]


def check_rows_apart(setting: Callable[[str], Any]) -> None:
    """Refuses settings that consistency cannot be trained with, most of which leave no row apart.

    Raises:
        ValueError: At the first.
    """
    check_consistency(setting)
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


def prompt_of(row: Mapping[str, Any]) -> Prompt:
    """Returns what stands before the answer of a row.

    Raises:
        ValueError: If a conversation does not end with an answer to something.

    Example:
        >>> prompt_of({"prompt": "1 + 1?", "completion": "2"})
        '1 + 1?'
    """
    if row.get("prompt") is not None:
        return check_prompt(row["prompt"])
    if row.get("messages") is None:
        raise ValueError(
            "`consistency_coef` above 0 compares answers behind two prompts, and the row has no prompt of its own: "
            f"columns {', '.join(row)}. Write `messages`, or `prompt` and `completion`, or set `consistency_coef: 0`."
        )
    messages: Any = check_prompt(row["messages"])
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise ValueError(
            "`consistency_coef` above 0 compares answers behind two prompts, and these messages do not end with an "
            f"answer to something: roles {[message['role'] for message in messages]}. End them with the assistant's, "
            "or leave the row out."
        )
    return list(messages[:-1])
