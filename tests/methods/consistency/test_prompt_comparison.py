"""From hidden states to a divergence: heads that scale, and lists that are long."""

import pytest
import torch
from scaled_models import SCALED, scaled_model
from tiny import tiny_model

from align.experimental.consistency import comparison
from align.experimental.consistency.comparison import Comparison
from align.experimental.consistency.loss import js_divergence


def both(model):
    torch.manual_seed(0)
    rows = torch.randint(3, 50, (2, 2, 9))
    with Comparison(model, "js").states_kept() as states:
        logits = [model(row).logits for row in rows]
    return [state.flatten(0, 1) for state in states], [each.flatten(0, 1) for each in logits]


@pytest.mark.parametrize("family", SCALED)
def test_what_a_model_does_to_its_logits_is_repeated(family):
    model = scaled_model(family, 50)
    states, logits = both(model)
    for temperature in (1.0, 0.7):
        found = Comparison(model, "js", temperature).sum(*states)
        torch.testing.assert_close(found, js_divergence(*(each / temperature for each in logits)).sum())


def test_long_lists_are_read_in_chunks_with_the_same_gradient(monkeypatch):
    model = tiny_model(vocabulary=50)
    grads, sums = [], []
    for size in (10**6, 200):
        monkeypatch.setattr(comparison, "_CHUNK", size)
        states, _ = both(model)
        model.zero_grad()
        found = Comparison(model, "js").sum(*states)
        found.backward()
        sums.append(found.item())
        grads.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]))
    assert sums[0] == pytest.approx(sums[1], rel=1e-6)
    torch.testing.assert_close(*grads, atol=1e-7, rtol=1e-5)


def test_nothing_to_compare_is_0_and_hangs_on_the_model():
    model = tiny_model(vocabulary=50)
    states, _ = both(model)
    found = Comparison(model, "kl").sum(states[0][:0], states[1][:0])
    found.backward()
    assert found.item() == 0
    assert all(weight.grad is not None and weight.grad.abs().max() == 0 for weight in model.parameters())
