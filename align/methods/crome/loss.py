"""Crome (arXiv 2506.16507): Bradley-Terry where a pair has an order, a tie loss where it has none.

Shapes: `B` pairs. A margin is the reward of the first answer minus that of the second.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry_loss(margin: Tensor) -> Tensor:
    """Computes -log sigmoid(margin) for pairs whose first answer is the better one, `(B,)` to `(B,)`."""
    return -logsigmoid(margin)


def tie_loss(margin: Tensor) -> Tensor:
    """Computes -(log sigmoid(margin) + log sigmoid(-margin)) / 2, the cross-entropy with a label of one half.

    It is smallest, log 2, at margin 0. The paper's Eq. 3 prints the other sign, which would drive tied answers apart;
    its text asks for margins near 0.

    Example:
        >>> tie_loss(torch.tensor([0.0, 2.0, -2.0]))
        tensor([0.6931, 1.1269, 1.1269])
    """
    return -(logsigmoid(margin) + logsigmoid(-margin)) / 2


def crome_loss(margin: Tensor, tie: Tensor, *, tie_coef: float) -> Tensor:
    """Computes Eq. 2 and 3, `(..., B)` losses of margins `(..., B)`; their sum over a batch is the paper's loss."""
    return torch.where(tie, tie_coef * tie_loss(margin), bradley_terry_loss(margin))
