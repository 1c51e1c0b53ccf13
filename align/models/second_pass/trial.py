"""In which ways a model can be read: told by trying each once, on a few rows, against plain passes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from align.models.rope_lengths import length_free, read_together
from align.models.rows_of_trees import MOST_TOKENS, longest_window
from align.models.second_pass.shared_prompts import SecondPassRow, inference, read_shared, read_whole

# How far apart the numbers of a token are on average when it is read in two ways, as a part of their size. Of 142 tiny
# models in half precision, those that read alike in single were up to 0.03 apart, the others from 0.07 on; where a
# router's choice turned on rounding, more: these are refused.
NEAR = {torch.float32: 1e-4, torch.float64: 1e-6}
NEAR_ELSE = 0.05
# What a model raises that cannot is its own; it is read in a plainer way, with the same numbers.
CANNOT = (RuntimeError, TypeError, ValueError, IndexError, KeyError, NotImplementedError, AttributeError)


class Way(IntEnum):
    """How rows are read, the cheapest way first."""

    SHARED = 0  # common prompts once, then what follows them
    PADDED = 1  # each whole, with others of other lengths
    ALIKE = 2  # each whole, with others of its own length


_found: "WeakKeyDictionary[Any, Way]" = WeakKeyDictionary()


def way_of(model: PreTrainedModel, pad_token_id: int) -> Way:
    """Finds the cheapest way to read rows as a plain pass reads each alone; ranks of a sharded model ask together."""
    if model not in _found:
        _found[model] = _find(model, pad_token_id)
    return _found[model]


def together(model: PreTrainedModel, way: Way, *, growth: int = 0) -> Callable[[int], int]:
    """Returns what names the lengths of rows that go into one batch; `growth` tokens are written behind each."""
    return int if way is Way.ALIKE else read_together(model, growth=growth)


def agrees(model: PreTrainedModel, read: Callable[[Sequence[SecondPassRow]], Tensor]) -> bool:
    """Tells whether a way of reading gives the `(3, V)` logits of plain passes, on rows longer than any window."""
    rows = tried_rows(model, min(window_of(model), MOST_TOKENS))
    with inference(model), precision() as near:
        try:
            return same(torch.cat([read_whole(model, [row], 0) for row in rows]), read(rows), near)
        except CANNOT:
            return False


@contextmanager
def precision() -> Iterator[Callable[[], float]]:
    """Yields what says how near the same numbers are, by the coarsest type that modules computed in inside the block.

    The type of logits does not tell it: under mixed precision they are handed back in single.
    """
    seen: set[torch.dtype] = set()

    def look(_: Any, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point():
            seen.add(output.dtype)

    hook = register_module_forward_hook(look)
    try:
        yield lambda: max(NEAR.get(each, NEAR_ELSE) for each in seen)
    finally:
        hook.remove()


def apart(alone: Tensor, other: Tensor) -> Tensor:
    """Returns how far apart two readings of each of N tokens are, as a part of their size."""
    alone, other = (each.double() - each.double().mean(-1, keepdim=True) for each in (alone, other))
    return (alone - other).abs().mean(-1) / alone.abs().mean()


def same(alone: Tensor, other: Tensor, near: Callable[[], float]) -> bool:
    """Tells whether two readings, `(N, V)` logits or `(N, H)` hidden states, are the same up to rounding."""
    return bool(apart(alone, other).max() <= near())


def reads_behind_padding(model: PreTrainedModel, pad_token_id: int) -> bool:
    """Tells whether a row has the same log-probs behind padding as alone where nobody counts its positions.

    A model that learns a vector for each position reads another one there; with rotary positions distances count.
    """
    tried = tried_rows(model, 0)[2]
    row = torch.tensor([[*tried.prompt_ids, *tried.prefix_ids]], device=model.device)
    padded = torch.nn.functional.pad(row, (6, 0), value=pad_token_id)
    mask = torch.nn.functional.pad(torch.ones_like(row), (6, 0))
    with inference(model), precision() as near:
        alone = model(input_ids=row, use_cache=False).logits
        behind = model(input_ids=padded, attention_mask=mask, use_cache=False).logits[:, 6:]
    # Positions change most tokens; half precision changes single ones as much: of SmolLM2-135M 0.39 of one, 0.02 else.
    return bool(apart(alone[0], behind[0]).mean() <= near())


def _find(model: PreTrainedModel, pad_token_id: int) -> Way:
    # States cannot be handed to several rows, windows that a cache knows of would count the padding, and keys would
    # keep the positions of a shorter row.
    whole = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
    may_share = whole and length_free(model) and window_of(model) <= MOST_TOKENS
    if may_share and agrees(model, lambda rows: read_shared(model, rows, pad_token_id).logits):
        return Way.SHARED
    if agrees(model, lambda rows: read_whole(model, rows, pad_token_id)):
        return Way.PADDED
    return Way.ALIKE


def window_of(model: PreTrainedModel) -> int:
    """Finds how far back layers of a model look that do not see everything."""
    return longest_window(model.config.get_text_config().to_dict())


def tried_rows(model: PreTrainedModel, reach: int) -> list[SecondPassRow]:
    """Makes three rows, two of which have one prompt; prompts have unlike lengths and are longer than `reach`."""
    embeddings: Any = model.get_input_embeddings()
    size = min(embeddings.num_embeddings, 1_009)

    def text(length: int, seed: int) -> list[int]:
        return [(seed + i * (i + seed)) % (size - 4) + 4 if size > 8 else i % size for i in range(length)]

    first, second = text(reach + 2, 5), [*text(2, 5), *text(reach + 9, 11)]
    pairs = ((first, text(7, 23)), (first, text(3, 31)), (second, text(5, 43)))
    return [SecondPassRow(prompt, prefix, []) for prompt, prefix in pairs]
