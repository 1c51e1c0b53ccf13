import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits

from align.methods.crome.loss import bradley_terry_loss, crome_loss, tie_loss

MARGINS = st.lists(st.floats(-30, 30), min_size=1, max_size=8).map(lambda m: torch.tensor(m, dtype=torch.float64))


def test_losses_by_hand():
    assert bradley_terry_loss(torch.tensor(0.0)).item() == pytest.approx(math.log(2))
    assert bradley_terry_loss(torch.tensor(1.5)).item() == pytest.approx(math.log(1 + math.exp(-1.5)))
    assert tie_loss(torch.tensor(0.0)).item() == pytest.approx(math.log(2))
    assert tie_loss(torch.tensor(3.0)).item() == pytest.approx(
        (math.log(1 + math.exp(-3)) + math.log(1 + math.exp(3))) / 2
    )


def test_a_tie_pulls_margins_to_zero():
    """The sign that the paper prints would push them away."""
    margin = torch.tensor([2.0, -1.0, 0.0], requires_grad=True)
    tie_loss(margin).sum().backward()
    torch.testing.assert_close(margin.grad, torch.sigmoid(margin.detach()) - 0.5)
    assert margin.grad[0] > 0 > margin.grad[1]
    assert margin.grad[2] == 0


@given(MARGINS)
def test_both_are_cross_entropies_with_one_and_a_half(margin):
    for loss, label in ((bradley_terry_loss, 1.0), (tie_loss, 0.5)):
        expected = binary_cross_entropy_with_logits(margin, torch.full_like(margin, label), reduction="none")
        torch.testing.assert_close(loss(margin), expected)


@given(MARGINS)
def test_a_tie_has_no_order_and_is_cheapest_at_zero(margin):
    torch.testing.assert_close(tie_loss(margin), tie_loss(-margin))
    assert (tie_loss(margin) >= math.log(2) - 1e-12).all()


def test_mixed_batches_take_each_pair_by_itself():
    margin, tie = torch.tensor([0.5, -2.0, 1.0]), torch.tensor([False, True, True])
    expected = torch.stack([bradley_terry_loss(margin[0]), 0.3 * tie_loss(margin[1]), 0.3 * tie_loss(margin[2])])
    torch.testing.assert_close(crome_loss(margin, tie, tie_coef=0.3), expected)
    torch.testing.assert_close(crome_loss(margin.flip(0), tie.flip(0), tie_coef=0.3), expected.flip(0))


def test_without_ties_it_is_bradley_terry():
    margin = torch.linspace(-3, 3, 7)
    assert torch.equal(crome_loss(margin, torch.zeros(7, dtype=torch.bool), tie_coef=9.0), bradley_terry_loss(margin))


def test_gradients_are_right_and_finite_far_out():
    margin = torch.linspace(-4, 4, 6, dtype=torch.float64, requires_grad=True)
    tie = torch.tensor([True, False] * 3)
    assert torch.autograd.gradcheck(lambda m: crome_loss(m, tie, tie_coef=0.7), margin)
    far = torch.tensor([200.0, -200.0], requires_grad=True)
    crome_loss(far, torch.tensor([True, False]), tie_coef=1.0).sum().backward()
    assert far.grad.isfinite().all()
