"""ODIN's two heads (Chen et al. 2024, arXiv 2402.07319), of which one takes what goes with length and is dropped.

Both heads together learn the order of pairs. The loss adds `|rho(quality, length)| - rho(other, length)`, Pearson's
correlation over the global batch, and the size of the cosine of the heads' weights. Length is the tokens of an answer
behind what both of its pair begin with. What is saved is the head of quality, an ordinary reward model; the other one
stands in a file beside it.

Shapes: `B` pairs, `2B` answers, `T` tokens, `H` features.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, linear

from align.experimental.crome.score_heads import ScoreHead
from align.models.score_head import OF_LENGTH

_LEAST = 1e-8


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


def correlation(scores: Tensor, lengths: Tensor) -> Tensor:
    """Computes Pearson's correlation of `(2B,)` scores and lengths, 0 where one of them does not vary.

    Example:
        >>> correlation(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0])).round(decimals=4)
        tensor(1.)
    """
    scores, lengths = (values - values.mean() for values in (scores.float(), lengths.float()))
    return (scores @ lengths) / (scores.norm() * lengths.norm()).clamp(min=_LEAST)


class LengthHead(ScoreHead):
    """A score head that in training adds a second one, which is to go with length."""

    saved = OF_LENGTH

    def __init__(self, head: nn.Linear) -> None:
        super().__init__(head)
        self.of_length = nn.Parameter(torch.randn_like(head.weight) * head.weight.std())
        self._places: Tensor | None = None
        self.views: tuple[Tensor, Tensor] | None = None

    def keep(self, places: Tensor) -> None:
        """Sets the places, `(2B,)`, whose scores the next pass keeps in `views`."""
        self._places = places

    def forward(self, hidden: Tensor) -> Tensor:
        """Scores `(2B, T, H)`, `(2B, T, 1)`; after `keep` also keeps both heads' scores, `(2B,)` each."""
        places, self._places, self.views = self._places, None, None
        quality = linear(hidden, self.weight, self.bias)
        if not self.training:
            return quality
        other = linear(hidden, self.of_length)
        if places is not None:
            rows = torch.arange(len(hidden), device=hidden.device)
            self.views = quality[rows, places, 0], other[rows, places, 0]
        return quality + other

    def overlap(self) -> Tensor:
        """Computes the size of the cosine of the heads' weights."""
        return cosine_similarity(self.weight.float(), self.of_length.float()).abs().sum()
