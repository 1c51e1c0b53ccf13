"""How far apart two predictions of one answer are: behind the prompt as it is, and behind a perturbed one.

Shapes: `B` rows, `S` tokens of a row, `T` of the longest answer, `H` width of a hidden state, `V` vocabulary.
"""

import math

import torch
from torch import Tensor

_NEVER = -1e4  # log-prob below which a token's share is 0; -inf would make 0 * inf


def js_divergence(clean: Tensor, perturbed: Tensor) -> Tensor:
    """Computes the Jensen-Shannon divergence of two predictions, (KL(p, m) + KL(q, m)) / 2 with m = (p + q) / 2.

    Logits are `(..., V)`, the divergence `(...)` in nats. It is symmetric and lies between 0 and ln 2. Computed in
    fp32, with the log of m from the logs of p and q.

    Example:
        >>> js_divergence(torch.tensor([[9e9, 0.0]]), torch.tensor([[0.0, 9e9]]))  # nothing in common: ln 2
        tensor([0.6931])
    """
    p, q = _log_probs(clean), _log_probs(perturbed)
    m = torch.logaddexp(p, q) - math.log(2)
    return ((p.exp() * (p - m)).sum(-1) + (q.exp() * (q - m)).sum(-1)) / 2


def kl_divergence(clean: Tensor, perturbed: Tensor) -> Tensor:
    """Computes KL(sg(p), q), `(..., V)` logits to `(...)` nats, not bounded.

    The prediction behind the clean prompt is a constant, which the other one follows.
    """
    p, q = _log_probs(clean.detach()), _log_probs(perturbed)
    return (p.exp() * (p - q)).sum(-1)


DIVERGENCES = {"js": js_divergence, "kl": kl_divergence}


def before_answers(states: Tensor, starts: Tensor, length: int) -> Tensor:
    """Picks what predicts each token of the answers, the place before it: `(B, S, H)` states or logits to `(B, T, H)`.

    `starts` `(B,)` is the place of the first token of each answer, 1 or more; a place beyond the end gives the last.

    Example:
        >>> before_answers(torch.arange(5.0)[None, :, None], torch.tensor([3]), 2).flatten()
        tensor([2., 3.])
    """
    places = starts[:, None] - 1 + torch.arange(length, device=states.device)
    places = places.clamp(max=states.shape[1] - 1)
    return states.gather(1, places[..., None].expand(-1, -1, states.shape[-1]))


def _log_probs(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(-1).clamp(min=_NEVER)
