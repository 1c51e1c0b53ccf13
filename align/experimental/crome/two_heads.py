"""Two score heads that agree where there are labels and need not where there are none (DivDis, arXiv 2202.03418).

"Unraveling the Key Components of OOD Generalization via Diversification" (arXiv 2312.16313) says what this stands and
falls with: the unlabelled data, in which what the labels do not tell apart must come apart.

The heads are `mean + difference` and `mean - difference`. The mean is the score head that is saved, so that any
library reads an ordinary reward model; the difference stands in a file beside it.

Shapes: `B` pairs, `N` answers, `T` tokens, `H` features. Margins of two heads are `(2, B)`.
"""

import math
import random
from collections.abc import Callable
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.nn.functional import linear

from align.experimental.crome.score_heads import ScoreHead
from align.models.score_head import DIFFERENCE

_LEAST = 1e-6


def agreement(margins: Tensor) -> Tensor:
    """Computes the chance that two heads draw the same order of a pair, `(2, B)` margins to `(B,)`.

    Example:
        >>> agreement(torch.tensor([[0.0, 9.0, 9.0], [5.0, 9.0, -9.0]])).round(decimals=3)
        tensor([0.5000, 1.0000, 0.0000])
    """
    first, second = margins.sigmoid()
    return first * second + (1 - first) * (1 - second)


def mutual_information(chance: Tensor) -> Tensor:
    """Computes the mutual information of the two heads' orders in nats, of the mean chance of the same order.

    DivDis' is that of the joint distribution over a batch. A pair says the same read either way round, so each head
    puts half of the orders either way, and the joint distribution has one number. That is log 2 - entropy: 0 where
    orders are independent, log 2 where they are always the same or never. The regulariser of DivDis, which keeps each
    head from always answering the same, holds by that.

    Example:
        >>> mutual_information(torch.tensor([0.5, 1.0, 0.75]))
        tensor([0.0000, 0.6931, 0.1308])
    """
    chance = chance.clamp(_LEAST, 1 - _LEAST)  # at 0 and 1 the slope is infinite
    return math.log(2) + torch.xlogy(chance, chance) + torch.xlogy(1 - chance, 1 - chance)


class TwoHeads(ScoreHead):
    """A score head with two outputs."""

    saved = DIFFERENCE

    def __init__(self, head: nn.Linear) -> None:
        super().__init__(head)
        self.difference = nn.Parameter(torch.randn_like(head.weight) * head.weight.std())

    def forward(self, hidden: Tensor) -> Tensor:
        """Scores `(N, T, H)`, `(N, T, 2)`."""
        weights = torch.cat([self.weight + self.difference, self.weight - self.difference])
        return linear(hidden, weights, None if self.bias is None else self.bias.expand(2))


class UnlabelledPairs:
    """Gives out batches of pairs without labels over and over, each time around in another order.

    The step says which, so that a resumed run reads the same. `batch_size` counts pairs per process and pass.
    """

    def __init__(self, rows: Dataset, collate: Callable[[list[Any]], dict[str, Any]], batch_size: int, seed: int):
        self._rows, self._collate, self._batch_size, self._seed = rows, collate, batch_size, seed
        self._place, self._around = (-1, 0), -1
        self._order: list[int] = []

    def batch(self, step: int, passes: int, rank: int, ranks: int) -> dict[str, Any]:
        """Collates the next batch; the processes share out what one with a batch of all would read."""
        self._place = (step, self._place[1] + 1 if self._place[0] == step else 0)
        start = ((step * passes + self._place[1]) * ranks + rank) * self._batch_size
        return self._collate([self._rows[self._row(place)] for place in range(start, start + self._batch_size)])

    def _row(self, place: int) -> int:
        around, number = divmod(place, len(self._rows))
        if around != self._around:
            self._around, self._order = around, list(range(len(self._rows)))
            random.Random(f"unlabelled {self._seed} {around}").shuffle(self._order)
        return self._order[number]
