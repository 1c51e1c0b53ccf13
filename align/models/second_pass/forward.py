"""The second pass: which letter follows from a given trace, in one forward pass and no generation loop."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from align.models.second_pass.image_memo import remembered_images
from align.models.second_pass.shared_prompts import SecondPassRow as SecondPassRow
from align.models.second_pass.shared_prompts import (
    given_cache,
    inference,
    last_logits,
    pad_rows,
    read_shared,
    read_whole,
    text_batches,
)
from align.models.second_pass.tree_pass import Trees, reads_trees
from align.models.second_pass.trial import Way, together, way_of


def score_letters(
    model: PreTrainedModel,
    rows: Sequence[SecondPassRow],
    *,
    pad_token_id: int,
    batch_size: int,
    share_prompts: bool = True,
    remember_images: bool = True,
    most_batches: Callable[[int], int] = int,
    dummy: SecondPassRow | None = None,
) -> list[list[float]]:
    """Scores the K live letters of each row as its next token: log-probabilities in nats, normalised over them.

    With `share_prompts`, what several rows have in common is read once, as far as the model can; the scores are the
    same. No gradient flows and only the places of the letters are projected. With `remember_images`, prompts that
    follow each other and have the same images share their features.

    The model may be in any wrapping whose forward may be called (PEFT, ZeRO-3 hooks). `most_batches` turns the number
    of batches of this rank into the largest of any rank. The difference is made up by dummies, so that every rank of a
    sharded model makes the same number of forward passes; `dummy` has images where the rows have some, so that it runs
    the same modules.
    """
    dummy = dummy or SecondPassRow([pad_token_id], [pad_token_id], [])
    way = way_of(model, pad_token_id)
    share = share_prompts and way is Way.SHARED
    trees = Trees(model, rows) if share and reads_trees(model, pad_token_id) else None
    batches = [
        *(trees.batches(batch_size) if trees else text_batches(rows, batch_size, together(model, way))),
        *_image_batches(rows, batch_size if share else 1),
    ]
    num_dummies = most_batches(len(batches)) - len(batches)  # before the first pass: the ranks meet in this call too
    scores: list[list[float]] = [[] for _ in rows]
    with inference(model), remembered_images(model) if remember_images else nullcontext():
        for batch in batches:
            if trees and not rows[batch[0]].images:
                logits = trees.read([rows[i] for i in batch])  # (B, V)
            else:
                logits = _forward(model, [rows[i] for i in batch], pad_token_id, share)
            for i, log_probs in zip(batch, letter_log_probs(logits, [rows[i].letter_ids for i in batch]), strict=True):
                scores[i] = log_probs
        for _ in range(0 if trees else num_dummies):
            _forward(model, [dummy], pad_token_id, share)
    return scores


def letter_log_probs(logits: Tensor, letter_ids: Sequence[Sequence[int]]) -> list[list[float]]:
    """Normalises the `(B, V)` logits of each row over its own K letters."""
    padded, live = pad_rows(letter_ids, 0, "right", logits.device)
    log_probs = logits.gather(1, padded).float().masked_fill(live == 0, float("-inf")).log_softmax(-1).tolist()
    return [row[: len(ids)] for row, ids in zip(log_probs, letter_ids, strict=True)]


def _image_batches(rows: Sequence[SecondPassRow], batch_size: int) -> list[list[int]]:
    """Batches the rows of one prompt with images, because every model lays out the images of several another way."""
    prompts: dict[tuple[int, ...], list[int]] = {}
    for i, row in enumerate(rows):
        if row.images:
            prompts.setdefault((id(row.images), *row.prompt_ids), []).append(i)
    return [group[i : i + batch_size] for group in prompts.values() for i in range(0, len(group), batch_size)]


def _forward(model: PreTrainedModel, rows: Sequence[SecondPassRow], pad_token_id: int, share: bool) -> Tensor:
    if rows[0].images and share:
        return _forward_images_shared(model, rows, pad_token_id)
    if rows[0].images:
        (row,) = rows
        ids = torch.tensor([row.prompt_ids + row.prefix_ids], device=model.device)
        return last_logits(model, ids, torch.ones_like(ids), None, **image_fields(row.images, ids))
    if share:
        return read_shared(model, rows, pad_token_id).logits
    return read_whole(model, rows, pad_token_id)


def _forward_images_shared(model: PreTrainedModel, rows: Sequence[SecondPassRow], pad_token_id: int) -> Tensor:
    """Reads images and prompt once, then the prefixes of the rows.

    Neither is padded on the left, so the model finds its own positions, which images make hard to tell.
    """
    prompt_ids = torch.tensor([rows[0].prompt_ids], device=model.device)
    cache = DynamicCache(config=model.config)
    fields = image_fields(rows[0].images, prompt_ids)
    model(input_ids=prompt_ids, **given_cache(model, cache), logits_to_keep=1, **fields)
    if len(rows) > 1:
        cache.batch_repeat_interleave(len(rows))
    prefix_ids, mask = pad_rows([row.prefix_ids for row in rows], pad_token_id, "right", model.device)
    ends, column = (mask.sum(1) - 1).unique(return_inverse=True)
    output = model(input_ids=prefix_ids, **given_cache(model, cache), logits_to_keep=ends)
    return output.logits[torch.arange(len(rows), device=model.device), column]


def image_fields(images: Mapping[str, Tensor], ids: Tensor) -> dict[str, Any]:
    """Moves a row's image fields to the model; those with one entry per token get zeros, for text, up to the end."""
    fields = {}
    for name, value in images.items():
        if name.endswith("token_type_ids"):
            value = torch.nn.functional.pad(value, (0, ids.shape[1] - value.shape[1]))
        fields[name] = value.to(ids.device)
    return fields
