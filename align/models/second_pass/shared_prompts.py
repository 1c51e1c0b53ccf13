"""Reading rows of a second pass with the policy: common prompts once, without gradients and without dropout."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from align.models.second_pass.forward import SecondPassRow


class Read(NamedTuple):
    """Prompts and prefixes that were read."""

    logits: Tensor  # (B, V), of the next token
    cache: DynamicCache
    mask: Tensor  # (B, T), of prompt and prefix


def text_batches(rows: Sequence[SecondPassRow], batch_size: int) -> list[list[int]]:
    """Batches the rows without images by prompt and length."""
    order = sorted(
        (i for i, row in enumerate(rows) if not row.images),
        key=lambda i: (len(rows[i].prompt_ids), rows[i].prompt_ids, len(rows[i].prefix_ids)),
    )
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


@contextmanager
def inference(model: PreTrainedModel) -> Iterator[None]:
    """Turns off dropout, gradients and gradient checkpointing, which forbids a cache while training."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def cache_can_be_shared(model: PreTrainedModel) -> bool:
    """Tells whether keys and values of a prompt can be handed to several rows.

    Recurrent states cannot, and a sliding window would count the padding between prompt and prefix.
    """
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def read_shared(model: PreTrainedModel, rows: Sequence[SecondPassRow], pad_token_id: int) -> Read:
    """Reads each distinct prompt once, then the prefixes of its rows, which stand next to each other."""
    prompts, counts = distinct_prompts(rows)
    prompt_ids, prompt_mask = left_pad(prompts, pad_token_id, model.device)  # (P, T)
    cache = DynamicCache(config=model.config)
    last_logits(model, prompt_ids, prompt_mask, positions(prompt_mask), **given_cache(model, cache))
    owner = torch.repeat_interleave(torch.tensor(counts, device=model.device))  # (B,)
    if len(prompts) < len(rows):
        cache.batch_select_indices(owner)
    # The gap that left-padding puts between prompt and prefix is masked, so every row ends in the last column.
    prefix_ids, prefix_mask = left_pad([row.prefix_ids for row in rows], pad_token_id, model.device)
    mask = torch.cat([prompt_mask[owner], prefix_mask], dim=1)
    own = positions(mask)[:, prompt_ids.shape[1] :]
    return Read(last_logits(model, prefix_ids, mask, own, **given_cache(model, cache)), cache, mask)


def given_cache(model: Any, cache: DynamicCache) -> dict[str, Any]:
    """Names a cache as the model does: `cache` from transformers 5.20 on, which warns of `past_key_values`."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    named = inspect.signature(type(inner).forward).parameters
    return {"cache" if "cache" in named else "past_key_values": cache, "use_cache": True}


def distinct_prompts(rows: Sequence[SecondPassRow]) -> tuple[list[list[int]], list[int]]:
    """Lists the prompts of rows that stand next to each other by prompt, and how many rows each has."""
    runs: Iterator[tuple[list[int], Iterator[SecondPassRow]]] = groupby(rows, key=lambda row: row.prompt_ids)
    pairs = [(prompt, len(list(run))) for prompt, run in runs]
    return [prompt for prompt, _ in pairs], [count for _, count in pairs]


def last_logits(model: PreTrainedModel, ids: Tensor, mask: Tensor, positions: Tensor | None, **more: Any) -> Tensor:
    """Reads tokens, `(B, T)`, and returns the logits of what follows them, `(B, V)`."""
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1, **more)
    logits: Tensor = output.logits[:, -1]
    return logits


def positions(mask: Tensor) -> Tensor:
    """Counts the positions of tokens that are not masked, `(B, T)`."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def left_pad(sequences: Sequence[Sequence[int]], pad_token_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pads sequences on the left; returns tokens and mask, `(B, T)` each."""
    width = max(len(ids) for ids in sequences)
    padded = [[pad_token_id] * (width - len(ids)) + list(ids) for ids in sequences]
    masks = [[0] * (width - len(ids)) + [1] * len(ids) for ids in sequences]
    return torch.tensor(padded, device=device), torch.tensor(masks, device=device)
