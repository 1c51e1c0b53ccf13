"""A Gaussian bottleneck before the score head, after CVIB (arXiv 2303.02846).

Each feature `x` of an answer becomes `x (mu + sigma e)` with `e` from N(0, 1), as in VIBNet (arXiv 1802.10399). The
score head takes in `mu`, so that only the noise `alpha = (sigma / mu)^2` is left: the code of an answer is
`x (1 + sqrt(alpha) e)`, its mean path the score head itself, and what is saved is an ordinary reward model.

CVIB trains a second network whose layers have the bottleneck, and compares the two. Here there is one network: the
pooled feature as it is, and its code, from which the reward is computed in training.

Shapes: `B` pairs, the chosen answers in the first half of `2B` rows, `H` features.
"""

import hashlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, normalize, softplus

from align.experimental.crome.score_heads import ScoreHead
from align.models.score_head import LOG_NOISE

CONTRAST_COEF, TEMPERATURE, NOISE_RATE = 0.25, 0.05, 1e-2  # of the authors' code
FIRST_LOG_NOISE = -2.0  # the authors begin at -9, from where noise needs thousands of steps to count


def code_length(log_noise: Tensor) -> Tensor:
    """Computes log(1 + mu^2 / sigma^2) / 2, VIBNet's KL between a factor and its prior in nats, mean over features.

    Example:
        >>> code_length(torch.tensor([0.0, 0.0]))
        tensor(0.3466)
    """
    return softplus(-log_noise).mean() / 2


def contrast(anchors: Tensor, others: Tensor, first: int = 0) -> Tensor:
    """Computes how well each anchor is told by its cosine with its own other view, of all in the batch, `(N,)` losses.

    `anchors` are `(N, H)`, `others` `(M, H)` of all processes, without gradient; the own rows begin at `first` of
    those.

    Example:
        >>> contrast(torch.eye(2), torch.ones(2, 2))
        tensor([0.6931, 0.6931])
    """
    similarities = normalize(anchors, dim=-1) @ normalize(others, dim=-1).T / TEMPERATURE
    own = torch.arange(first, first + len(anchors), device=anchors.device)
    return cross_entropy(similarities, own, reduction="none")


def draw_noise(ids: Tensor, attention_mask: Tensor, size: int, seed: str) -> Tensor:
    """Draws N(0, 1) for each row from the seed and its tokens, whichever process has it, `(2B, H)`."""
    rows = []
    for row, mask in zip(ids, attention_mask.bool(), strict=True):
        digest = hashlib.sha256(f"{seed} {row[mask].tolist()}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        rows.append(torch.randn(size, generator=generator))
    return torch.stack(rows).to(ids.device)


class Bottleneck(ScoreHead):
    """A score head that reads codes where noise was drawn for them, and features otherwise."""

    saved = LOG_NOISE

    def __init__(self, head: nn.Linear) -> None:
        super().__init__(head)
        self.log_noise = nn.Parameter(  # fp32 also beside a head in 16 bits, which would round steps of its rate away
            torch.full((head.in_features,), FIRST_LOG_NOISE, dtype=torch.float32, device=head.weight.device)
        )
        self._drawn: tuple[Tensor, Tensor] | None = None
        self.views: tuple[Tensor, Tensor, Tensor] | None = None

    def draw(self, noise: Tensor, last: Tensor) -> None:
        """Sets the noise of the next pass, `(2B, H)`, and the places that rewards are read at, `(2B,)`."""
        self._drawn = noise, last

    def forward(self, hidden: Tensor) -> Tensor:
        """Scores `(2B, T, H)`; after `draw` also keeps feature, code and their length in `views`."""
        drawn, self._drawn, self.views = self._drawn, None, None
        if drawn is None:
            scores = linear(hidden, self.weight, self.bias)
            return scores + 0.0 * self.log_noise.sum() if self.training else scores  # DDP wants all weights in a pass
        noise, last = drawn
        deviation = (noise * (self.log_noise / 2).exp()).to(hidden.dtype)
        code = hidden * (1 + deviation.unsqueeze(1))
        rows = torch.arange(len(hidden), device=hidden.device)
        self.views = hidden[rows, last], code[rows, last], code_length(self.log_noise)
        return linear(code, self.weight, self.bias)


def rate_of_its_own(optimizer: Any, parameter: nn.Parameter) -> None:
    """Moves a parameter into a group that learns at `NOISE_RATE`; at a language model's rate noise would not move."""
    for group in optimizer.param_groups:
        group["params"] = [each for each in group["params"] if each is not parameter]
    optimizer.add_param_group({"params": [parameter], "lr": NOISE_RATE, "weight_decay": 0.0})
