from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from torch.nn.functional import kl_div

from align.training.token_terms import Head, TokenTerms, token_terms

TOKENS, WIDTH, REF_WIDTH, VOCABULARY = 11, 5, 4, 23


def drawn(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def inputs(dtype: torch.dtype = torch.float32, *, bias: bool = False, **head_settings: float) -> tuple:
    hidden = drawn(TOKENS, WIDTH, seed=0, dtype=dtype).requires_grad_()
    weight = drawn(VOCABULARY, WIDTH, seed=1, dtype=dtype).requires_grad_()
    bias_term = drawn(VOCABULARY, seed=2, dtype=dtype).requires_grad_() if bias else None
    head = Head(weight, bias_term, **head_settings)
    ref_head = Head(drawn(VOCABULARY, REF_WIDTH, seed=3, dtype=dtype), None, **head_settings)
    labels = torch.arange(TOKENS) * 7 % VOCABULARY
    return hidden, head, drawn(TOKENS, REF_WIDTH, seed=4, dtype=dtype), ref_head, labels


def naive_terms(hidden: Tensor, head: Head, ref_hidden: Tensor, ref_head: Head, labels: Tensor) -> TokenTerms:
    """The same with full logits."""

    def logits_of(states: Tensor, head: Head) -> Tensor:
        logits = states @ head.weight.t() + (0 if head.bias is None else head.bias)
        logits = logits * head.scale
        return logits if head.softcap is None else head.softcap * torch.tanh(logits / head.softcap)

    logits, ref_logits = logits_of(hidden, head), logits_of(ref_hidden, ref_head)
    logps, ref_logps = (x.log_softmax(-1).gather(-1, labels[:, None])[:, 0] for x in (logits, ref_logits))
    kl = kl_div(logits.log_softmax(-1), ref_logits.log_softmax(-1), reduction="none", log_target=True).sum(-1)
    log_probs = logits.detach().log_softmax(-1)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    is_top = (log_probs.argmax(-1) == labels).to(logits.dtype)
    return TokenTerms(logps, ref_logps, kl, entropy, logits.detach().mean(-1), is_top)


def weighted_loss(terms: TokenTerms) -> Tensor:
    """Some tokens with a preference gradient only, some with a KL gradient only, some with both, some with neither."""
    places = torch.arange(TOKENS)
    return (terms.logps * (places % 2 == 0) * places).sum() + (terms.kl * (places % 3 == 0)).sum()


HEADS = {
    "plain": {},
    "bias": {"bias": True},
    "scale": {"scale": 0.25},
    "softcap": {"softcap": 2.0},
    "all": {"bias": True, "scale": 0.5, "softcap": 3.0},
}


@pytest.mark.parametrize("chunk_elements", [VOCABULARY // 2, 4 * VOCABULARY, 10**6])  # a token at least
@pytest.mark.parametrize("settings", HEADS.values(), ids=HEADS)
def test_chunks_equal_the_naive_form_in_value_and_gradient(settings, chunk_elements):
    chunked, naive = inputs(**settings), inputs(**settings)
    terms, expected = token_terms(*chunked, chunk_elements=chunk_elements), naive_terms(*naive)
    for value, right in zip(terms, expected, strict=True):
        torch.testing.assert_close(value, right, rtol=1e-5, atol=1e-5)
    weighted_loss(terms).backward()
    weighted_loss(expected).backward()
    for own, right in ((chunked[0], naive[0]), (chunked[1].weight, naive[1].weight), (chunked[1].bias, naive[1].bias)):
        if own is not None:
            assert (own.grad - right.grad).norm() <= 1e-4 * right.grad.norm()


@pytest.mark.parametrize("settings", HEADS.values(), ids=HEADS)
def test_gradients_are_those_of_finite_differences(settings):
    hidden, head, ref_hidden, ref_head, labels = inputs(torch.float64, **settings)

    def terms_of(hidden: Tensor, weight: Tensor, *bias: Tensor) -> tuple[Tensor, Tensor]:
        own = head._replace(weight=weight, bias=bias[0] if bias else None)
        terms = token_terms(hidden, own, ref_hidden, ref_head, labels, chunk_elements=3 * VOCABULARY)
        return terms.logps, terms.kl

    trained = [hidden, head.weight] + ([head.bias] if head.bias is not None else [])
    assert torch.autograd.gradcheck(terms_of, trained, fast_mode=True)


def test_a_policy_at_its_reference_has_no_divergence_and_no_gradient_from_it():
    hidden, head, _, _, labels = inputs()
    terms = token_terms(hidden, head, hidden.detach(), head, labels)
    torch.testing.assert_close(terms.logps, terms.ref_logps)
    torch.testing.assert_close(terms.kl, torch.zeros(TOKENS), atol=1e-6, rtol=0)
    terms.kl.sum().backward()
    assert hidden.grad.abs().max() < 1e-6


def test_a_frozen_head_gets_no_gradient_and_the_reference_never():
    hidden, head, ref_hidden, ref_head, labels = inputs()
    frozen = Head(head.weight.detach())
    ref_hidden.requires_grad_()
    weighted_loss(token_terms(hidden, frozen, ref_hidden, ref_head, labels)).backward()
    assert hidden.grad.abs().sum() > 0
    assert ref_hidden.grad is None


def test_bf16_states_give_fp32_terms_near_the_exact_ones():
    terms = token_terms(*inputs(torch.bfloat16))
    exact = naive_terms(*(x.float() if isinstance(x, Tensor) and x.is_floating_point() else x for x in as_fp32()))
    assert terms.kl.dtype == torch.float32
    torch.testing.assert_close(terms.kl, exact.kl, rtol=1e-4, atol=1e-4)


def as_fp32() -> tuple:
    hidden, head, ref_hidden, ref_head, labels = inputs(torch.bfloat16)
    return hidden, Head(head.weight.float()), ref_hidden, Head(ref_head.weight.float()), labels


def test_autocast_rounds_the_inputs_and_not_the_logits():
    with torch.autocast("cpu", torch.bfloat16):
        terms = token_terms(*inputs())
    torch.testing.assert_close(terms.kl, token_terms(*inputs(torch.bfloat16)).kl)


def test_no_tokens_give_no_terms_and_a_zero_gradient():
    hidden, head, ref_hidden, ref_head, labels = inputs()
    none = torch.zeros(TOKENS, dtype=torch.bool)
    terms = token_terms(hidden[none], head, ref_hidden[none], ref_head, labels[none])
    assert terms.logps.shape == (0,)
    (terms.logps.sum() + terms.kl.sum()).backward()
    assert (head.weight.grad == 0).all()


def test_heads_are_gathered_once_forward_and_once_backward():
    entered = []

    @contextmanager
    def gather(*params):
        entered.append([param is None for param in params])
        yield

    hidden, head, ref_hidden, ref_head, labels = inputs()
    terms = token_terms(hidden, head, ref_hidden, ref_head, labels, gather=gather, chunk_elements=VOCABULARY)
    weighted_loss(terms).backward()
    assert entered == [[False, True, False, True]] * 2
