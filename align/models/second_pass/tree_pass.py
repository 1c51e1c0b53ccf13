"""The second pass of rows that begin alike: every token is read once, whatever several rows have in common."""

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache, PreTrainedModel

from align.data.texts import count_shared
from align.models.second_pass.image_memo import is_sharded
from align.models.second_pass.shared_prompts import SecondPassRow, given_cache, last_logits, pad_rows
from align.models.second_pass.trial import Way, agrees, way_of
from align.models.shared_prefixes import Folded, body_of, fold, prefixes_read_once

MOST_TOKENS = 8_192  # of a forward pass, what several rows begin with once
_found: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()


def reads_trees(model: PreTrainedModel, pad_token_id: int) -> bool:
    """Tells by trying once whether a model takes a mask and positions of our own, and can share prompts at all.

    Not all do: some kernels know causal masks only, and some models count positions by themselves. A model whose ranks
    hold a part of the weights each is ruled out, since ranks make as many passes as their rows need.
    """
    if is_sharded(model):
        return False
    if model not in _found:
        may = way_of(model, pad_token_id) is Way.SHARED
        _found[model] = may and agrees(model, lambda rows: Trees(model, rows).read(rows))
    return _found[model]


class Trees:
    """Reads the rows without images in trees, behind what all of them begin with."""

    def __init__(self, model: PreTrainedModel, rows: Sequence[SecondPassRow]) -> None:
        self._model: Any = model
        self._texts = {i: row.prompt_ids + row.prefix_ids for i, row in enumerate(rows) if not row.images}
        whole = self._texts.values()
        self._head = min(count_shared(*whole), min(map(len, whole)) - 1) if len(whole) > 1 else 0

    def batches(self, batch_size: int) -> list[list[int]]:
        """Batches the rows such that those that begin alike are next to each other."""
        batches: list[list[int]] = []
        before: list[int] = []
        size = 0
        for i in sorted(self._texts, key=self._texts.__getitem__):
            ids = self._texts[i]
            size += len(ids) - max(self._head, count_shared(before, ids))
            if not batches or len(batches[-1]) == batch_size or size > MOST_TOKENS:
                batches.append([])
                size = len(ids) - self._head
            batches[-1].append(i)
            before = ids
        return batches

    @cached_property
    def _cache(self) -> DynamicCache:
        head = torch.tensor([next(iter(self._texts.values()))[: self._head]], device=self._model.device)
        cache = DynamicCache(config=self._model.config)
        last_logits(self._model, head, torch.ones_like(head), None, **given_cache(self._model, cache))
        return cache

    def read(self, rows: Sequence[SecondPassRow]) -> Tensor:
        """Returns the logits of what follows rows, `(B, V)`; each token sees those before it in its own rows."""
        model, head = self._model, self._head
        rests = [(row.prompt_ids + row.prefix_ids)[head:] for row in rows]
        ids, mask = pad_rows(rests, 0, "right", model.device)
        tree = fold(ids, mask, model.config.get_text_config().hidden_size) or _apart(ids)
        ends = tree.places.gather(1, mask.sum(1, keepdim=True) - 1)
        tree = Folded(tree.ids, tree.positions + head, pad(tree.sees, (head, 0), value=True), ends)
        more: dict[str, Any] = {"use_cache": False}
        if head:
            cache = copy.deepcopy(self._cache)
            cache.batch_repeat_interleave(len(tree.ids))
            more = given_cache(model, cache)
        with prefixes_read_once(body_of(model), lambda *_: tree):
            return last_logits(model, tree.ids, torch.ones_like(tree.ids), tree.positions, **more)


def _apart(ids: Tensor) -> Folded:
    """Makes a row of each sequence, `(B, T)`; what is behind its end sees it, and is seen by nothing of it."""
    place = torch.arange(ids.numel(), device=ids.device).view_as(ids)
    looks = place.new_ones(ids.shape[1], ids.shape[1]).tril().bool()
    return Folded(ids, place % ids.shape[1], looks.expand(len(ids), -1, -1), place)
