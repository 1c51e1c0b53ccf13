"""RRPO (arXiv 2504.12083): preference on the differing spans, token-wise KL on the chosen response.

Shapes: `B` pairs, `T` tokens, `V` vocabulary. All log-probs and divergences are in nats, all outputs per pair.
"""

from torch import Tensor
from torch.nn.functional import logsigmoid


def span_log_ratio(logps: Tensor, ref_logps: Tensor, span_mask: Tensor) -> Tensor:
    """Sums the log-ratio to the reference over the marked tokens: r(x, y) / beta in the paper's notation.

    The paper sums over phrases inside one sigmoid, so the phrases' grouping drops out and a mask says it all. A
    response without marked tokens has log-ratio 0: the pair then rewards the other side alone. Log-probs and the mask
    (1 at marked tokens, 0 elsewhere, padding included) are `(B, T)`; returns `(B,)`.
    """
    return ((logps - ref_logps) * span_mask).sum(-1)


def token_kl(logits: Tensor, ref_logits: Tensor) -> Tensor:
    """Computes the forward KL(reference || policy) of every next-token distribution, `(B, T, V)` logits to `(B, T)`.

    This is the definition; training uses `align.training.token_terms`, which never holds `(B, T, V)` in memory.
    """
    log_probs, ref_log_probs = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    return (ref_log_probs.exp() * (ref_log_probs - log_probs)).sum(-1)


def rrpo_loss(
    chosen_log_ratio: Tensor, rejected_log_ratio: Tensor, chosen_kl: Tensor, *, beta: float, kl_coef: float
) -> Tensor:
    """Computes -log sigmoid(beta (m+ - m-)) + kl_coef KL+ for each pair, `(B,)` each to `(B,)`.

    The paper prints the KL inside the bracket that is negated, which would reward divergence; this is the sign of its
    code. With all response tokens marked and `kl_coef` 0 it is DPO's loss. KL+ is `token_kl` summed over all tokens of
    the chosen response, not averaged; `kl_coef` is alpha in the paper.

    Example:
        >>> from torch import tensor
        >>> rrpo_loss(tensor([0.0]), tensor([0.0]), tensor([2.0]), beta=0.1, kl_coef=0.5)
        tensor([1.6931])
    """
    return -logsigmoid(beta * (chosen_log_ratio - rejected_log_ratio)) + kl_coef * chosen_kl


def tdpo_loss(
    chosen_log_ratio: Tensor,
    rejected_log_ratio: Tensor,
    chosen_kl: Tensor,
    rejected_kl: Tensor,
    *,
    beta: float,
    kl_coef: float,
) -> Tensor:
    """Computes the TDPO-2 loss (arXiv 2404.11999): the difference of the two KLs lowers the margin.

    -log sigmoid(beta (m+ - m-) - kl_coef beta (KL- - sg(KL+))), `(B,)` each to `(B,)`, where no gradient flows through
    KL+. KLs are summed over the response; `kl_coef` is alpha in the paper.
    """
    margin = beta * (chosen_log_ratio - rejected_log_ratio)
    return -logsigmoid(margin - kl_coef * beta * (rejected_kl - chosen_kl.detach()))
