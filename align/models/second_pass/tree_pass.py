"""The second pass over rows that begin alike: every token is read once, whatever several rows have in common."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from align.models.second_pass.forward import SecondPassRow, letter_log_probs
from align.models.second_pass.image_memo import is_sharded
from align.models.second_pass.shared_prompts import given_cache, inference, last_logits
from align.models.second_pass.trees import Batch, common_head, grow_all, lay_out, put_together
from align.models.second_pass.trial import Way, agrees, way_of

MOST_TOKENS = 8_192  # of a forward pass, padding included


def score_letter_trees(
    model: PreTrainedModel, rows: Sequence[SecondPassRow], owners: Sequence[str], *, pad_token_id: int, batch_size: int
) -> list[list[float]]:
    """Scores the live letters of each row as its next token, as `score_letters` does, on a model that `reads_trees`.

    What all rows begin with is read first. Behind it the rows of an owner are a tree, and trees are read side by side:
    each token sees those before it in its own rows, at the positions it has there. Rows have no images.
    """
    if not rows:
        return []
    sequences = [row.prompt_ids + row.prefix_ids for row in rows]
    head = common_head(sequences)
    trees = grow_all(sequences, owners, head)
    scores: list[list[float]] = [[] for _ in rows]
    price = {"most_rows": batch_size, "most_tokens": MOST_TOKENS, "pass_tokens": _pass_tokens(model)}
    with inference(model):
        cache = _read_head(model, sequences[0][:head])
        batches = put_together(trees, **price)
        for part in batches:
            batch = lay_out([trees[i] for i in part], pad_token_id)
            numbers = [number for number, _, _ in batch.rows]
            logits = _read(model, batch, cache, head)
            found = letter_log_probs(logits, [rows[number].letter_ids for number in numbers])
            for number, log_probs in zip(numbers, found, strict=True):
                scores[number] = log_probs
    return scores


def reads_trees(model: PreTrainedModel, pad_token_id: int) -> bool:
    """Tells by trying whether a model takes a mask and positions of our own, and can share prompts at all.

    Not all do: some kernels know causal masks only, and some models count positions by themselves. A model whose ranks
    hold a part of the weights each is ruled out.
    """
    if is_sharded(model) or way_of(model, pad_token_id) is not Way.SHARED:
        return False

    def read(rows: Sequence[SecondPassRow]) -> Tensor:
        sequences = [row.prompt_ids + row.prefix_ids for row in rows]
        head = common_head(sequences)
        batch = lay_out(grow_all(sequences, ["one", "one", "other"], head), pad_token_id)
        logits = _read(model, batch, _read_head(model, sequences[0][:head]), head)
        order = [number for number, _, _ in batch.rows]
        return logits[[order.index(i) for i in range(len(rows))]]

    return agrees(model, read)


def _pass_tokens(model: PreTrainedModel) -> int:
    """Says how many tokens could be read in the time that one more pass takes, about.

    A CPU reads the weights once more, and calls the kernels of a layer in the time of some 10 million multiplications;
    anything faster waits for work.
    """
    if model.device.type != "cpu":
        return 1_024
    layers = model.config.get_text_config().num_hidden_layers
    return 16 + 10_000_000 * layers // sum(weight.numel() for weight in model.parameters())


def _read_head(model: PreTrainedModel, ids: Sequence[int]) -> DynamicCache:
    cache = DynamicCache(config=model.config)
    if ids:
        head = torch.tensor([list(ids)], device=model.device)
        last_logits(model, head, torch.ones_like(head), None, **given_cache(model, cache))
    return cache


def _read(model: PreTrainedModel, batch: Batch, cache: DynamicCache, head: int) -> Tensor:
    """Reads trees behind a head that was read; returns the logits of what follows each row, `(R, V)`."""
    num_trees, width = batch.ids.shape
    sees = torch.cat([torch.ones(num_trees, width, head, dtype=torch.bool), batch.sees], dim=-1)[:, None]
    mask = torch.zeros(sees.shape, dtype=model.dtype).masked_fill(~sees, torch.finfo(model.dtype).min)
    fields: dict[str, Any] = {"input_ids": batch.ids, "attention_mask": mask, "position_ids": head + batch.depths}
    if head:
        cache = copy.deepcopy(cache)
        if num_trees > 1:
            cache.batch_repeat_interleave(num_trees)
        fields |= given_cache(model, cache)
    given = {name: value.to(model.device) if isinstance(value, Tensor) else value for name, value in fields.items()}
    logits: Tensor = model(**{"use_cache": False} | given, logits_to_keep=batch.num_ends).logits
    return logits[[tree for _, tree, _ in batch.rows], [column for _, _, column in batch.rows]]
