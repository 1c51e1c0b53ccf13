"""The second pass of ACRE: which letter follows from a given trace, in one forward pass and no generation loop."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer


class SecondPassRow(NamedTuple):
    """One question to answer again from a fixed trace."""

    prompt_ids: list[int]  # the prompt with its options shuffled
    prefix_ids: list[int]  # the first response up to, and without, the letter of its answer
    letter_ids: list[int]  # the token of each live letter in that place, K of them
    images: dict[str, Tensor] = {}  # noqa: RUF012 - what the processor made of the prompt's images, never mutated


def score_letters(
    model: PreTrainedModel,
    rows: Sequence[SecondPassRow],
    *,
    pad_token_id: int,
    batch_size: int,
    share_prompts: bool = True,
    num_batches: int | None = None,
    dummy: SecondPassRow | None = None,
) -> list[list[float]]:
    """Scores the live letters of each row as its next token.

    With `share_prompts`, a prompt that several rows have in common is read once and its keys and values are reused
    by the rows; the scores are the same. No gradient flows and only the last position is projected.

    Args:
        model: The policy, in any wrapping whose forward may be called (PEFT, ZeRO-3 hooks).
        rows: The questions; an empty list is fine.
        pad_token_id: Token for padding, which is masked.
        batch_size: Rows per forward pass.
        share_prompts: Whether to read common prompts once.
        num_batches: Batches to run; those beyond the rows are dummies, so that every rank of a sharded model makes
            the same number of forward passes. See `count_batches`.
        dummy: What a dummy batch reads; a row with images where the rows have some, so that it runs the same modules.

    Returns:
        For each row, K log-probabilities in nats, normalised over its live letters.
    """
    dummy = dummy or SecondPassRow([pad_token_id], [pad_token_id], [])
    if dummy.images or any(row.images for row in rows):
        batch_size, share_prompts = 1, False  # image fields of several rows are laid out differently by every model
    order = sorted(
        range(len(rows)), key=lambda i: (len(rows[i].prompt_ids), rows[i].prompt_ids, len(rows[i].prefix_ids))
    )
    batches: list[list[int]] = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    forward = _forward_shared if share_prompts and _cache_can_be_shared(model) else _forward_whole
    scores: list[list[float]] = [[] for _ in rows]
    with _inference(model):
        for batch in batches:
            logits = forward(model, [rows[i] for i in batch], pad_token_id)  # (B, V)
            for i, row_logits in zip(batch, logits, strict=True):
                scores[i] = row_logits[rows[i].letter_ids].float().log_softmax(-1).tolist()
        for _ in range((num_batches or 0) - len(batches)):
            forward(model, [dummy], pad_token_id)
    return scores


def count_batches(num_rows: int, batch_size: int) -> int:
    """Counts the batches `score_letters` makes of `num_rows` rows."""
    return -(-num_rows // batch_size)


@contextmanager
def _inference(model: PreTrainedModel) -> Iterator[None]:
    """Turns off dropout, gradients and gradient checkpointing, which forbids a cache while training."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def _cache_can_be_shared(model: PreTrainedModel) -> bool:
    """Tells whether keys and values of a prompt can be handed to several rows.

    Recurrent states cannot, and a sliding window would count the padding between prompt and prefix.
    """
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def _forward_whole(model: PreTrainedModel, rows: Sequence[SecondPassRow], pad_token_id: int) -> Tensor:
    """Reads prompt and prefix of every row; returns the next-token logits, `(B, V)`."""
    ids, mask = _left_pad([row.prompt_ids + row.prefix_ids for row in rows], pad_token_id, model.device)
    if rows[0].images:
        return _last_logits(model, ids, mask, None, **_image_fields(rows[0], model.device))
    return _last_logits(model, ids, mask, _positions(mask))


def _image_fields(row: SecondPassRow, device: torch.device) -> dict[str, Tensor]:
    """Moves a row's image fields to the model; those with one entry per token get zeros, for text, over the prefix."""
    fields = {}
    for name, value in row.images.items():
        if name.endswith("token_type_ids"):
            value = torch.nn.functional.pad(value, (0, len(row.prefix_ids)))
        fields[name] = value.to(device)
    return fields


def _forward_shared(model: PreTrainedModel, rows: Sequence[SecondPassRow], pad_token_id: int) -> Tensor:
    """Reads each distinct prompt once, then the prefixes of its rows; returns the next-token logits, `(B, V)`."""
    prompts, counts = _distinct_prompts(rows)
    prompt_ids, prompt_mask = _left_pad(prompts, pad_token_id, model.device)  # (P, T)
    cache = DynamicCache(config=model.config)
    _last_logits(model, prompt_ids, prompt_mask, _positions(prompt_mask), past_key_values=cache, use_cache=True)
    owner = torch.repeat_interleave(torch.tensor(counts, device=model.device))  # (B,)
    if len(prompts) < len(rows):
        cache.batch_select_indices(owner)
    # The gap that left-padding puts between prompt and prefix is masked, so every row ends in the last column.
    prefix_ids, prefix_mask = _left_pad([row.prefix_ids for row in rows], pad_token_id, model.device)
    mask = torch.cat([prompt_mask[owner], prefix_mask], dim=1)
    positions = _positions(mask)[:, prompt_ids.shape[1] :]
    return _last_logits(model, prefix_ids, mask, positions, past_key_values=cache, use_cache=True)


def _distinct_prompts(rows: Sequence[SecondPassRow]) -> tuple[list[list[int]], list[int]]:
    runs: Iterator[tuple[list[int], Iterator[SecondPassRow]]] = groupby(rows, key=lambda row: row.prompt_ids)
    pairs = [(prompt, len(list(run))) for prompt, run in runs]
    return [prompt for prompt, _ in pairs], [count for _, count in pairs]


def _last_logits(model: PreTrainedModel, ids: Tensor, mask: Tensor, positions: Tensor | None, **more: Any) -> Tensor:
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1, **more)
    logits: Tensor = output.logits[:, -1]
    return logits


def _positions(mask: Tensor) -> Tensor:
    return (mask.cumsum(-1) - 1).clamp(min=0)


def _left_pad(sequences: Sequence[Sequence[int]], pad_token_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    width = max(len(ids) for ids in sequences)
    padded = [[pad_token_id] * (width - len(ids)) + list(ids) for ids in sequences]
    masks = [[0] * (width - len(ids)) + [1] * len(ids) for ids in sequences]
    return torch.tensor(padded, device=device), torch.tensor(masks, device=device)
