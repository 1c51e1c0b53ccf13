import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import logsigmoid

from align.methods.rrpo.loss import rrpo_loss, span_log_ratio, tdpo_loss, token_kl

PAIRS, TOKENS, VOCABULARY = 4, 6, 7


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def label_logps(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return logits.log_softmax(-1).gather(-1, labels[..., None])[..., 0]


def test_log_ratio_by_hand():
    logps = torch.tensor([[-1.0, -2.0, -3.0]])
    ref_logps = torch.tensor([[-1.5, -2.0, -1.0]])
    assert span_log_ratio(logps, ref_logps, torch.tensor([[1, 1, 0]])).item() == pytest.approx(0.5)
    assert span_log_ratio(logps, ref_logps, torch.tensor([[1, 1, 1]])).item() == pytest.approx(-1.5)


def test_a_response_without_marked_tokens_has_log_ratio_zero():
    assert span_log_ratio(drawn(1, 3), drawn(1, 3, seed=1), torch.zeros(1, 3)).item() == 0


def test_kl_by_hand():
    # reference (1/2, 1/2), policy (1/4, 3/4)
    kl = token_kl(torch.tensor([[[0.25, 0.75]]]).log(), torch.tensor([[[0.5, 0.5]]]).log())
    assert kl.item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), abs=1e-6)


def test_kl_is_the_forward_one():
    policy, reference = drawn(1, 1, 5), drawn(1, 1, 5, seed=1)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=reference), torch.distributions.Categorical(logits=policy)
    )
    torch.testing.assert_close(token_kl(policy, reference), expected)


def test_loss_by_hand():
    loss = rrpo_loss(torch.tensor([2.0]), torch.tensor([-1.0]), torch.tensor([4.0]), beta=0.5, kl_coef=0.1)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1.5)) + 0.4)


def test_divergence_costs():
    near, far = (
        rrpo_loss(torch.zeros(1), torch.zeros(1), torch.tensor([kl]), beta=0.1, kl_coef=0.1) for kl in (0.0, 3.0)
    )
    assert far > near


def test_whole_responses_and_no_kl_are_dpo():
    logps, ref_logps = drawn(2 * PAIRS, TOKENS), drawn(2 * PAIRS, TOKENS, seed=1)
    chosen, rejected = span_log_ratio(logps, ref_logps, torch.ones(2 * PAIRS, TOKENS)).chunk(2)
    sums, ref_sums = logps.sum(-1), ref_logps.sum(-1)
    logits = (sums[:PAIRS] - sums[PAIRS:]) - (ref_sums[:PAIRS] - ref_sums[PAIRS:])  # DPO, Eq. 7
    torch.testing.assert_close(
        rrpo_loss(chosen, rejected, drawn(PAIRS).abs(), beta=0.3, kl_coef=0.0), -logsigmoid(0.3 * logits)
    )


def test_unmarked_tokens_get_no_preference_gradient():
    logits = drawn(2 * PAIRS, TOKENS, VOCABULARY).requires_grad_()
    labels = torch.arange(2 * PAIRS * TOKENS).view(2 * PAIRS, TOKENS) % VOCABULARY
    mask = (torch.arange(TOKENS) % 3 == 0).expand(2 * PAIRS, TOKENS)
    ratios = span_log_ratio(label_logps(logits, labels), drawn(2 * PAIRS, TOKENS, seed=1), mask)
    rrpo_loss(*ratios.chunk(2), torch.zeros(PAIRS), beta=0.5, kl_coef=1.0).sum().backward()
    assert (logits.grad[~mask] == 0).all()
    assert (logits.grad[mask].abs().sum(-1) > 0).all()


def test_kl_pulls_every_token_towards_the_reference_and_is_at_rest_there():
    reference = drawn(1, TOKENS, VOCABULARY)
    at_rest = reference.clone().requires_grad_()
    token_kl(at_rest, reference).sum().backward()
    torch.testing.assert_close(at_rest.grad, torch.zeros_like(reference))
    moved = drawn(1, TOKENS, VOCABULARY, seed=1).requires_grad_()
    token_kl(moved, reference).sum().backward()
    torch.testing.assert_close(moved.grad, moved.detach().softmax(-1) - reference.softmax(-1))


@given(order=st.permutations(range(PAIRS)))
def test_a_permutation_of_the_batch_permutes_the_losses(order):
    chosen, rejected, kl, other_kl = (drawn(PAIRS, seed=seed) for seed in range(4))
    for loss, terms in ((rrpo_loss, (chosen, rejected, kl)), (tdpo_loss, (chosen, rejected, kl, other_kl))):
        permuted = loss(*(term[list(order)] for term in terms), beta=0.2, kl_coef=0.3)
        torch.testing.assert_close(permuted, loss(*terms, beta=0.2, kl_coef=0.3)[list(order)])


def test_gradients_are_those_of_finite_differences():
    def loss(logits: torch.Tensor) -> torch.Tensor:
        reference = drawn(2, TOKENS, VOCABULARY, seed=1)
        labels = torch.arange(2 * TOKENS).view(2, TOKENS) % VOCABULARY
        mask = torch.arange(TOKENS) % 2
        ratios = span_log_ratio(label_logps(logits, labels), label_logps(reference, labels), mask).chunk(2)
        kl = token_kl(logits, reference).sum(-1)
        return rrpo_loss(*ratios, kl[:1], beta=0.3, kl_coef=0.2) + tdpo_loss(
            *ratios, torch.ones(1), kl[1:], beta=0.3, kl_coef=0.2
        )

    assert torch.autograd.gradcheck(loss, drawn(2, TOKENS, VOCABULARY).requires_grad_())


def test_tdpo_by_hand_and_its_stopped_gradient():
    chosen_kl = torch.tensor([2.0], requires_grad=True)
    rejected_kl = torch.tensor([5.0], requires_grad=True)
    loss = tdpo_loss(torch.tensor([1.0]), torch.tensor([0.0]), chosen_kl, rejected_kl, beta=0.5, kl_coef=0.4)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-(0.5 - 0.4 * 0.5 * 3))))
    loss.sum().backward()
    assert chosen_kl.grad is None
    assert rejected_kl.grad.item() > 0
