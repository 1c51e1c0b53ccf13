"""Reading rows of a second pass with the policy: common prompts once, without gradients and without dropout."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, PreTrainedModel

from align.models.rope_lengths import forget_lengths


class SecondPassRow(NamedTuple):
    """One question to answer again from a fixed trace."""

    prompt_ids: list[int]  # the prompt with its options shuffled
    prefix_ids: list[int]  # the first response up to, and without, the letter of its answer
    letter_ids: list[int]  # the token of each live letter in that place, K of them
    # What the processor made of the prompt's images; rows of one prompt hold the same object, which is never mutated.
    images: dict[str, Any] = {}  # noqa: RUF012


class Read(NamedTuple):
    """Prompts and prefixes that were read."""

    logits: Tensor  # (B, V), of the next token
    cache: DynamicCache
    mask: Tensor  # (B, T), of prompt and prefix


def text_batches(
    rows: Sequence[SecondPassRow], batch_size: int, together: Callable[[int], int] = lambda length: 0
) -> list[list[int]]:
    """Batches the rows without images by prompt and length; `together` names the lengths that go into one batch."""
    names = [together(len(row.prompt_ids) + len(row.prefix_ids)) for row in rows]
    order = sorted(
        (i for i, row in enumerate(rows) if not row.images),
        key=lambda i: (names[i], len(rows[i].prompt_ids), rows[i].prompt_ids, len(rows[i].prefix_ids)),
    )
    parts = [list(part) for _, part in groupby(order, key=names.__getitem__)]
    return [part[i : i + batch_size] for part in parts for i in range(0, len(part), batch_size)]


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


def read_shared(model: PreTrainedModel, rows: Sequence[SecondPassRow], pad_token_id: int) -> Read:
    """Reads each distinct prompt once, then the prefixes of its rows, which stand next to each other."""
    runs = [(prompt, len(list(run))) for prompt, run in groupby(rows, key=lambda row: row.prompt_ids)]
    prompts, counts = [prompt for prompt, _ in runs], [count for _, count in runs]
    prompt_ids, prompt_mask = pad_rows(prompts, pad_token_id, "left", model.device)  # (P, T)
    cache = DynamicCache(config=model.config)
    last_logits(model, prompt_ids, prompt_mask, positions(prompt_mask), **given_cache(model, cache))
    owner = torch.repeat_interleave(torch.tensor(counts, device=model.device))  # (B,)
    if len(prompts) < len(rows):
        cache.batch_select_indices(owner)
    # The gap that left-padding puts between prompt and prefix is masked, so every row ends in the last column.
    prefix_ids, prefix_mask = pad_rows([row.prefix_ids for row in rows], pad_token_id, "left", model.device)
    mask = torch.cat([prompt_mask[owner], prefix_mask], dim=1)
    own = positions(mask)[:, prompt_ids.shape[1] :]
    return Read(last_logits(model, prefix_ids, mask, own, **given_cache(model, cache)), cache, mask)


def read_whole(model: PreTrainedModel, rows: Sequence[SecondPassRow], pad_token_id: int) -> Tensor:
    """Reads prompt and prefix of every row; rows of one length as a plain pass does, which not all models do else."""
    ids, mask = pad_rows([row.prompt_ids + row.prefix_ids for row in rows], pad_token_id, "left", model.device)
    return last_logits(model, ids, mask, None if mask.all() else positions(mask))


def given_cache(model: Any, cache: DynamicCache) -> dict[str, Any]:
    """Names a cache as the model does: `cache` from transformers 5.20 on, which warns of `past_key_values`."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    named = inspect.signature(type(inner).forward).parameters
    return {"cache" if "cache" in named else "past_key_values": cache, "use_cache": True}


def last_logits(model: PreTrainedModel, ids: Tensor, mask: Tensor, positions: Tensor | None, **more: Any) -> Tensor:
    """Reads tokens, `(B, T)`, and returns the logits of what follows them, `(B, V)`."""
    forget_lengths(model)
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1, **more)
    return output.logits[:, -1]


def positions(mask: Tensor) -> Tensor:
    """Counts the positions of tokens that are not masked, `(B, T)`."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def pad_rows(
    rows: Sequence[Sequence[int]], pad_token_id: int, side: str, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Pads rows of tokens on a side; returns tokens and mask, `(B, T)` each."""
    ids = [torch.tensor(row, dtype=torch.long) for row in rows]
    masks = [torch.ones_like(row) for row in ids]
    padded_ids, padded_masks = (
        pad_sequence(each, batch_first=True, padding_value=value, padding_side=side).to(device)
        for each, value in ((ids, pad_token_id), (masks, 0))
    )
    return padded_ids, padded_masks
