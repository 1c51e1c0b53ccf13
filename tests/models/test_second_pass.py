import random

import pytest
import torch
from tiny import tiny_model
from transformers import Gemma2Config, Gemma2ForCausalLM, Mamba2Config, Mamba2ForCausalLM, set_seed

from align.models.second_pass.forward import SecondPassRow, score_letters
from align.models.second_pass.trial import way_of

LETTER_IDS = [40, 41, 42, 43]


def make_rows(num_prompts=5, per_prompt=4, seed=0):
    rng = random.Random(seed)

    def text(low, high):
        return [rng.randrange(3, 100) for _ in range(rng.randrange(low, high))]

    prompts = [text(5, 20) for _ in range(num_prompts)]
    rows = [SecondPassRow(prompt, text(1, 12), LETTER_IDS) for prompt in prompts for _ in range(per_prompt)]
    rng.shuffle(rows)
    return rows


def naive_scores(model, row):
    """Reads one unpadded row and restricts its next-token logits, by hand."""
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row.prompt_ids + row.prefix_ids])).logits[0, -1]
    return logits[row.letter_ids].log_softmax(-1)


def sliding_window_model():
    set_seed(0)
    config = Gemma2Config(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=6,
        initializer_range=0.1,
    )
    return Gemma2ForCausalLM(config)


def recurrent_model():
    set_seed(0)
    config = Mamba2Config(
        vocab_size=128,
        hidden_size=32,
        num_hidden_layers=2,
        state_size=8,
        num_heads=8,
        head_dim=8,
        expand=2,
        n_groups=1,
        initializer_range=0.1,
    )
    return Mamba2ForCausalLM(config)


@pytest.mark.by_day("tiny_model", "sliding_window_model")
@pytest.mark.parametrize("make_model", [tiny_model, lambda: tiny_model("qwen2"), sliding_window_model])
def test_scores_equal_one_plain_forward_per_row(make_model):
    model, rows = make_model(), make_rows()
    expected = torch.stack([naive_scores(model, row) for row in rows])
    for batch_size in (1, 3, 64):
        for shared in (True, False):
            scores = score_letters(model, rows, pad_token_id=0, batch_size=batch_size, share_prompts=shared)
            torch.testing.assert_close(torch.tensor(scores), expected, rtol=0, atol=2e-5)


def test_recurrent_layers_are_not_shared_and_still_right():
    model, rows = recurrent_model(), make_rows(num_prompts=2, per_prompt=2)
    scores = score_letters(model, rows, pad_token_id=0, batch_size=1)
    for row, row_scores in zip(rows, scores, strict=True):
        torch.testing.assert_close(torch.tensor(row_scores), naive_scores(model, row), rtol=0, atol=1e-4)


def test_rows_may_have_different_numbers_of_letters():
    rows = make_rows(num_prompts=2)
    rows = [row._replace(letter_ids=LETTER_IDS[: 2 + i % 3]) for i, row in enumerate(rows)]
    scores = score_letters(tiny_model(), rows, pad_token_id=0, batch_size=4)
    assert [len(s) for s in scores] == [2 + i % 3 for i in range(len(rows))]
    assert torch.tensor([sum(torch.tensor(s).exp()) for s in scores]).allclose(torch.ones(len(rows)))


def test_dummy_batches_make_ranks_do_the_same_number_of_forward_passes(monkeypatch):
    monkeypatch.setattr("align.models.second_pass.tree_pass.is_sharded", lambda model: True)
    passes = []
    for rows in (make_rows(num_prompts=3, per_prompt=4), []):
        model = tiny_model()
        way_of(model, 0)
        calls = []
        model.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        scores = score_letters(model, rows, pad_token_id=0, batch_size=4, most_batches=lambda own: max(own, 3))
        assert len(scores) == len(rows)
        passes.append(len(calls))
    assert passes[0] == passes[1] == 6


def test_the_model_is_left_as_it_was_and_no_gradient_flows():
    model = tiny_model(attention_dropout=0.5)
    model.gradient_checkpointing_enable()
    model.train()
    first = score_letters(model, make_rows(), pad_token_id=0, batch_size=8)
    assert model.training
    assert torch.is_grad_enabled()
    assert first == score_letters(model, make_rows(), pad_token_id=0, batch_size=8)  # no dropout
    assert all(parameter.grad is None for parameter in model.parameters())
