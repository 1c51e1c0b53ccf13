"""Destroyed pairs: both answers without what the model takes for their causes, after ASCOOD (arXiv 2411.10794).

ASCOOD destroys the features of an image that the model's own attribution calls invariant, and asks for uncertainty of
what is left. Here the tokens of an answer that move the margin most, by gradient times input, are shuffled among
themselves; what is left has decoration and length as before, and none of the two answers should be better for that.

Shapes: `B` pairs, the chosen answers in the first half of `2B` rows, `T` tokens, padded on the right.
"""

import random
from typing import Any

import torch
from torch import Tensor

SHARE = 0.1  # of an answer's tokens, at least two


def answer_mask(ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Marks the tokens of the answers, those behind what both texts of a pair begin with, `(2B, T)`.

    Example:
        >>> ids = torch.tensor([[1, 2, 3, 0], [1, 2, 4, 5]])
        >>> answer_mask(ids, (ids > 0).long()).long()
        tensor([[0, 0, 1, 0],
                [0, 0, 1, 1]])
    """
    chosen, rejected = ids.chunk(2)
    present = attention_mask.bool()
    both = present.chunk(2)[0] & present.chunk(2)[1]
    shared = ((chosen == rejected) & both).long().cumprod(dim=1).bool()
    return present & ~shared.repeat(2, 1)


def attributions(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Returns |gradient times input| of each token in the margin, `(2B, T)`; weights get no gradient."""
    found: list[Tensor] = []

    def watch(module: Any, given: Any, output: Tensor) -> Tensor:
        found.append(output.detach().requires_grad_())
        return found[-1]

    handle = model.get_input_embeddings().register_forward_hook(watch)
    try:
        with torch.enable_grad():
            chosen, rejected = model(**inputs, use_cache=False).logits.squeeze(-1).chunk(2)
            (gradient,) = torch.autograd.grad((chosen - rejected).sum(), found[0])
    finally:
        handle.remove()
    return (gradient * found[0].detach()).sum(-1).abs()


def destroy(ids: Tensor, attribution: Tensor, mask: Tensor, seed: str) -> Tensor:
    """Shuffles the most attributed tokens of each answer among themselves, so that each of them stands elsewhere.

    Tokens, attributions and the mask of answers are `(2B, T)`; an answer of one token stays. The order is drawn from
    the seed and the answer, so that it does not depend on the process that has the answer.

    Example:
        >>> ids, all_of_it = torch.tensor([[7, 8, 9]]), torch.ones(1, 3).bool()
        >>> destroy(ids, torch.tensor([[3.0, 1.0, 2.0]]), all_of_it, "0")
        tensor([[9, 8, 7]])
    """
    destroyed = ids.clone()
    for row, (scores, own) in enumerate(zip(attribution, mask, strict=True)):
        places = own.nonzero().squeeze(-1)
        if len(places) < 2:
            continue
        count = max(2, round(SHARE * len(places)))
        top = sorted(places[scores[places].topk(count).indices].tolist())
        random.Random(f"{seed} {ids[row, places].tolist()}").shuffle(top)
        ring = torch.tensor(top, device=ids.device)  # a round in random order moves every one of them
        destroyed[row, ring] = ids[row, ring.roll(1)]
    return destroyed
