"""The divergence between two predictions of one answer: by hand, its bounds, and which place each token has."""

import math

import pytest
import torch
from tiny import tiny_model

from align.experimental.consistency.loss import before_answers, js_divergence, kl_divergence

P = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0]]])  # (1, 2, 2): halves, then 3/4 and 1/4
Q = torch.tensor([[[0.0, 0.0], [0.0, math.log(3)]]])  # halves, then 1/4 and 3/4


def test_by_hand():
    """The second token's m is one half each: KL((3/4, 1/4), m) on both sides."""
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert js_divergence(P, Q)[0].tolist() == pytest.approx([0, expected], abs=1e-7)
    assert kl_divergence(P, Q)[0].tolist() == pytest.approx([0, 0.75 * math.log(3) - 0.25 * math.log(3)], abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.1, 10, 1e4])
def test_it_is_symmetric_and_lies_between_0_and_ln_2(dtype, scale):
    generator = torch.Generator().manual_seed(0)
    p, q = (scale * torch.randn(4, 7, 50, generator=generator).to(dtype).requires_grad_() for _ in range(2))
    found = js_divergence(p, q)
    assert found.shape == (4, 7)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, js_divergence(q, p))
    assert found.min() >= -1e-6
    assert found.max() <= math.log(2) + 1e-6
    assert all(part.isfinite().all() for part in torch.autograd.grad(found.sum(), (p, q)))


def test_a_token_that_cannot_be_written_has_no_share_and_no_gradient_of_nothing():
    p = torch.tensor([1.0, -math.inf, 0.0], requires_grad=True)
    q = torch.tensor([0.0, -math.inf, 1.0], requires_grad=True)
    for divergence in (js_divergence, kl_divergence):
        found = divergence(p, q)
        assert 0 < found.item() < math.log(2)
        assert all(
            part.isfinite().all() for part in torch.autograd.grad(found, (p, q), allow_unused=True) if part is not None
        )


def test_the_same_prediction_is_no_distance_and_pulls_nowhere():
    p = P.clone().requires_grad_()
    js_divergence(p, P).sum().backward()
    assert p.grad.abs().max() < 1e-7


def test_the_clean_side_of_kl_is_a_constant_and_both_sides_of_js_learn():
    for divergence, learns in ((kl_divergence, False), (js_divergence, True)):
        p, q = P.clone().requires_grad_(), Q.clone().requires_grad_()
        divergence(p, q).sum().backward()
        assert (p.grad is not None) == learns
        assert q.grad.abs().max() > 0.1


def test_the_gradient_is_that_of_the_formula():
    generator = torch.Generator().manual_seed(1)
    p, q = (torch.randn(2, 5, generator=generator).double().requires_grad_() for _ in range(2))

    def written_out(p, q):
        p, q = p.softmax(-1), q.softmax(-1)
        m = (p + q) / 2
        return ((p * (p / m).log()).sum(-1) + (q * (q / m).log()).sum(-1)) / 2

    ours, theirs = (torch.autograd.grad(f(p, q).sum(), (p, q)) for f in (js_divergence, written_out))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_a_moved_answer_token_changes_what_comes_after_it_and_nothing_before():
    """Token 2 of the answer is changed behind the second prompt: its own prediction stays, the next one's does not.

    Logits that are not shifted would show the change at token 2 itself.
    """
    model, answer = tiny_model(vocabulary=50), [11, 12, 13, 14, 15]
    other = [*answer[:2], 30, *answer[3:]]

    def predicted(prompt, completion):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + completion])).logits
        return before_answers(logits, torch.tensor([len(prompt)]), len(completion))

    clean = predicted([3, 4, 5], answer)
    same, moved = (js_divergence(clean, predicted([6, 7, 3, 4, 5], each))[0] for each in (answer, other))
    assert (same > 1e-4).all()
    changed = (same - moved).abs() > 1e-7
    assert changed.tolist() == [False, False, False, True, True]


def test_places_of_answers_of_several_rows():
    states = torch.arange(12.0).reshape(2, 6, 1)
    found = before_answers(states, torch.tensor([1, 4]), 3)
    assert found.squeeze(-1).tolist() == [[0, 1, 2], [9, 10, 11]]
    assert before_answers(states, torch.tensor([5, 5]), 3).shape == (2, 3, 1)  # beyond the end, where nothing counts
