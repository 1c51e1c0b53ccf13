import random

import pytest
import torch
from test_second_pass import naive_scores, recurrent_model, sliding_window_model
from tiny import tiny_model
from transformers import BloomConfig, BloomForCausalLM, GPTNeoConfig, GPTNeoForCausalLM, set_seed

from align.models.second_pass.forward import SecondPassRow, score_letters
from align.models.second_pass.tree_pass import Trees, reads_trees


def make_rows(head=(), seed=0):
    """Four shuffles of five questions, one of them the same twice, and a question asked once."""
    rng = random.Random(seed)
    rows = []
    for i in range(5):
        question, trace = ([rng.randrange(3, 100) for _ in range(3 + 4 * i)] for _ in range(2))
        options = [[rng.randrange(3, 100) for _ in range(3)] for _ in range(4)]
        for _ in range(4):
            rng.shuffle(options)
            shown = [token for option in options for token in option]
            rows.append(
                SecondPassRow(
                    [*head, *question, *shown],
                    trace,
                    [5, 6, 7][: 2 + i % 2],
                )
            )
    return [*rows, rows[0], SecondPassRow([*head, 4], [6], [5, 6])]


def bloom():
    set_seed(0)
    return BloomForCausalLM(BloomConfig(vocab_size=128, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.2))


def windows_of_its_own():
    set_seed(0)
    config = GPTNeoConfig(
        vocab_size=128, hidden_size=32, num_layers=2, num_heads=4, window_size=8, intermediate_size=64,
        attention_types=[[["global", "local"], 1]], initializer_range=0.2,
    )  # fmt: skip
    return GPTNeoForCausalLM(config)


@pytest.mark.by_day("head0-llama-eager", "head1-qwen2-sdpa", "head1-llama-eager")
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("head", [(), (7, 8, 9) * 5])
def test_scores_equal_one_plain_forward_per_row(family, implementation, head):
    model, rows = tiny_model(family), make_rows(head)
    model.set_attn_implementation(implementation)
    assert reads_trees(model, 0)
    expected = [naive_scores(model, row) for row in rows]
    for batch_size in (1, 64):
        scores = score_letters(model, rows, pad_token_id=0, batch_size=batch_size)
        for row_scores, plain in zip(scores, expected, strict=True):
            torch.testing.assert_close(torch.tensor(row_scores), plain, rtol=0, atol=2e-5)


def test_every_token_is_read_once_and_few_are_padding(monkeypatch):
    """The head of 15, then of each question what its shuffles do not share, whatever is asked twice."""
    monkeypatch.setattr("align.models.rows_of_trees._LOOKS_PER_WIDTH", 600)  # as of a larger model
    model, rows = tiny_model(), make_rows((7, 8, 9) * 5)
    assert reads_trees(model, 0)  # which is tried once
    read = []
    model.get_input_embeddings().register_forward_hook(lambda _, inputs, __: read.append(inputs[0].numel()))
    score_letters(model, rows, pad_token_id=0, batch_size=64)
    sequences = [row.prompt_ids + row.prefix_ids for row in rows]
    least = len({tuple(each[:i]) for each in sequences for i in range(1, len(each) + 1)})
    assert read[0] == 15
    assert least <= sum(read) < 1.06 * least
    assert score_letters(model, [], pad_token_id=0, batch_size=64) == []


def test_batches_end_at_a_number_of_rows_and_of_tokens():
    rows = [SecondPassRow([9, *([i // 2] * 3_000)], [i], [5]) for i in (0, 2, 4, 1, 3, 5)]
    trees = Trees(None, rows)
    assert trees.batches(64) == [[0, 3, 1, 4], [2, 5]]  # 8,192 tokens, what two have in common once
    assert trees.batches(3) == [[0, 3, 1], [4, 2, 5]]


@pytest.mark.parametrize("make_model", [bloom, windows_of_its_own, sliding_window_model, recurrent_model])
def test_models_that_cannot_read_trees_are_told(make_model):
    assert not reads_trees(make_model(), 0)


def test_a_model_in_bfloat16_reads_trees():
    model, rows = tiny_model().to(torch.bfloat16), make_rows()
    assert reads_trees(model, 0)
    scores = score_letters(model, rows, pad_token_id=0, batch_size=8)
    for row, row_scores in zip(rows, scores, strict=True):
        torch.testing.assert_close(torch.tensor(row_scores), naive_scores(model, row).float(), rtol=0, atol=0.05)


def test_the_model_is_left_as_it_was():
    model, rows = tiny_model(attention_dropout=0.5), make_rows()
    model.train()
    first = score_letters(model, rows, pad_token_id=0, batch_size=8)
    assert model.training
    assert first == score_letters(model, rows, pad_token_id=0, batch_size=8)  # no dropout
