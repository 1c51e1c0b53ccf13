"""What two heads gain hangs on the unlabelled pairs: a world of a cause and a cue that is easier to read."""

import pytest
import torch
from torch import nn

from align.experimental.crome.two_heads import TwoHeads, agreement, mutual_information
from align.methods.crome.loss import bradley_terry_loss

pytestmark = pytest.mark.slow
CUE = 3.0  # times as large as the cause
LABELLED = torch.tensor([[1.0, CUE], [-1.0, -CUE]])  # chosen, rejected: the cue is always right
CONFLICT = torch.tensor([[1.0, -CUE], [-1.0, CUE]])


def margins(trunk, heads, chosen, rejected):
    """Returns the margins of both heads, `(2, N)`."""
    return (heads(trunk(chosen)) - heads(trunk(rejected))).T


def draw(mix, generator, count=64):
    """Draws unlabelled answers: in `mixed` the cue says nothing of the cause, `as labelled` it is always right."""
    causes, cues = torch.randint(2, (2, 2 * count), generator=generator) * 2.0 - 1
    answers = torch.stack([causes, CUE * (cues if mix == "mixed" else causes)], dim=1)
    return answers.chunk(2)


def train(mix, seed):
    """Trains a reward model of one layer with two heads and returns their margins where cause and cue are at odds."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        trunk = nn.Sequential(nn.Linear(2, 16), nn.Tanh())
        heads = TwoHeads(nn.Linear(16, 1, bias=False))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([*trunk.parameters(), *heads.parameters()], lr=1e-2)
    for _ in range(300):
        labelled = bradley_terry_loss(margins(trunk, heads, LABELLED[:1], LABELLED[1:])).mean()
        information = mutual_information(agreement(margins(trunk, heads, *draw(mix, generator))).mean())
        optimizer.zero_grad()
        (labelled + information).backward()
        optimizer.step()
    assert (margins(trunk, heads, LABELLED[:1], LABELLED[1:]) > 0).all()  # both heads have learnt the labels
    return margins(trunk, heads, CONFLICT[:1], CONFLICT[1:]).flatten().tolist()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in (1, 2))])
def test_one_head_follows_the_cause_where_the_cue_varies_and_none_where_it_does_not(seed):
    right, wrong = sorted(train("mixed", seed)), train("as labelled", seed)
    assert right[0] < 0 < right[1]
    assert max(wrong) < 0
