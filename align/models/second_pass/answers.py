"""The second pass where an answer is a text: a few tokens behind a given trace, written by the policy."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from align.models.second_pass.shared_prompts import (
    SecondPassRow,
    given_cache,
    inference,
    last_logits,
    read_shared,
    read_whole,
    text_batches,
)
from align.models.second_pass.trial import Way, together, way_of


def write_answers(
    model: PreTrainedModel,
    rows: Sequence[SecondPassRow],
    ended: Callable[[int, list[int]], bool],
    *,
    pad_token_id: int,
    batch_size: int,
    max_new_tokens: int,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    share_prompts: bool = True,
    most_batches: Callable[[int], int] = int,
    in_step: bool = False,
) -> list[list[int]]:
    """Writes what follows each row, token by token: the last ended it, unless there are `max_new_tokens`.

    With `share_prompts`, a prompt that several rows have in common is read once; without sampling, rows of one prompt
    and one prefix are answered once. No gradient flows, and no random number but the generator's is drawn, which is on
    the model's device. Rows are text only, and `letter_ids` is not read. `ended` tells whether the answer of the row
    of an index ends with the tokens written so far. Temperature 0 takes the likeliest token, the first of a tie.
    `most_batches` is as in `score_letters`; `in_step` has every batch make as many forward passes as any other, as
    ranks of a sharded model have to.
    """
    way = way_of(model, pad_token_id)
    first_of: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    owners = [
        i if temperature else first_of.setdefault((tuple(row.prompt_ids), tuple(row.prefix_ids)), i)
        for i, row in enumerate(rows)
    ]
    asked = [i for i, owner in enumerate(owners) if i == owner]
    may_meet = together(model, way, growth=max_new_tokens)
    batches = [[asked[j] for j in batch] for batch in text_batches([rows[i] for i in asked], batch_size, may_meet)]
    num_dummies = most_batches(len(batches)) - len(batches)  # before the first pass: the ranks meet in this call too

    def pick(logits: Tensor) -> Tensor:
        if not temperature:
            return logits.argmax(-1)
        return torch.multinomial((logits.float() / temperature).softmax(-1), 1, generator=generator)[:, 0]

    written: list[list[int]] = [[] for _ in rows]
    rule = _Rule(pick, pad_token_id, max_new_tokens, in_step)
    write = _write_cached if share_prompts and way is Way.SHARED else _write_whole
    with inference(model):
        for batch in batches:
            new = write(model, [rows[i] for i in batch], rule, [partial(ended, i) for i in batch])
            for i, ids in zip(batch, new, strict=True):
                written[i] = ids
        for _ in range(num_dummies if in_step else 0):
            write(model, [SecondPassRow([pad_token_id], [pad_token_id], [])], rule, [lambda ids: False])
    return [list(written[owner]) for owner in owners]


class _Rule(NamedTuple):
    pick: Callable[[Tensor], Tensor]  # from logits, `(B, V)`, to tokens, `(B,)`
    pad_token_id: int
    max_new_tokens: int
    in_step: bool


def _write_cached(
    model: PreTrainedModel, rows: Sequence[SecondPassRow], rule: _Rule, ended: Sequence[Callable[[list[int]], bool]]
) -> list[list[int]]:
    logits, cache, mask = read_shared(model, rows, rule.pad_token_id)
    written: list[list[int]] = [[] for _ in rows]
    live = list(range(len(rows)))
    for left in range(rule.max_new_tokens - 1, -1, -1):
        tokens = rule.pick(logits)
        live = _append(written, live, tokens, ended)
        if not left or not (live or rule.in_step):
            break
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        last = mask.sum(-1, keepdim=True) - 1
        logits = last_logits(model, tokens[:, None], mask, last, **given_cache(model, cache))
    return written


def _write_whole(
    model: PreTrainedModel, rows: Sequence[SecondPassRow], rule: _Rule, ended: Sequence[Callable[[list[int]], bool]]
) -> list[list[int]]:
    """Reads prompt, prefix and what was written anew for each token, for models whose cache cannot be shared."""
    written: list[list[int]] = [[] for _ in rows]
    live = list(range(len(rows)))
    for _ in range(rule.max_new_tokens):
        texts = [row._replace(prefix_ids=row.prefix_ids + new) for row, new in zip(rows, written, strict=True)]
        live = _append(written, live, rule.pick(read_whole(model, texts, rule.pad_token_id)), ended)
        if not (live or rule.in_step):
            break
    return written


def _append(
    written: list[list[int]], live: list[int], tokens: Tensor, ended: Sequence[Callable[[list[int]], bool]]
) -> list[int]:
    picked = tokens.tolist()
    for i in live:
        written[i].append(picked[i])
    return [i for i in live if not ended[i](written[i])]
