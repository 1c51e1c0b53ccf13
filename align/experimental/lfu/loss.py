"""Learning from the Undesirable (arXiv 2511.13052): hidden states that a harmful step would hardly change.

The paper's loss is `L_sft + lambda * L_cons`: L_cons compares the hidden states h of the model with h' of the same
model after one normalised step of gradient ascent on L_sft. By a public note the paper moves auxiliary parts only, as
`lfu_mode: aux_lora` does; `params`, the default, is ours: `theta' = theta + alpha g / |g|` of the trained weights.

Shapes: `B` rows, `T` tokens, `H` width of a hidden state.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def ascent_scale(gradients: Sequence[Tensor], *, alpha: float) -> Tensor:
    """Computes alpha / |g|, which times g is the step; |g| is over all parts of the gradient together, in fp32.

    A gradient that is 0, or not finite (the loss scale of fp16 was too large), gives a step of 0.

    Example:
        >>> ascent_scale([torch.tensor([3.0]), torch.tensor([4.0])], alpha=0.1)
        tensor(0.0200)
    """
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part.float()) for part in gradients]))
    return torch.where(norm.isfinite() & (norm > 0), alpha / norm, torch.zeros_like(norm))


def consistency_sum(clean: Sequence[Tensor], moved: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Sums over tokens the mean over layers of |sg(h) - h'|^2 / H; divided by the number of tokens it is L_cons.

    `clean` is a constant (sg), and the gradient goes through the model after the step. The square is a mean over the
    width, as in the authors' code (`F.mse_loss`): their weight of 5 belongs to that scale. Hidden states of each layer
    are `(B, T, H)`; the mask `(B, T)` is true at the tokens that are learnt.

    Example:
        >>> h = torch.zeros(1, 2, 4)
        >>> consistency_sum([h, h], [h + 1, h + 3], torch.tensor([[True, False]]))
        tensor(5.)
    """
    layers = [
        (after[mask].float() - before.detach()[mask].float()).square().mean(-1).sum()
        for before, after in zip(clean, moved, strict=True)
    ]
    return torch.stack(layers).mean()
