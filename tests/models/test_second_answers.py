import random

import pytest
import torch
from test_second_pass import sliding_window_model
from tiny import tiny_model

from align.models.second_pass.answers import write_answers
from align.models.second_pass.forward import SecondPassRow
from align.models.second_pass.trial import way_of

TOKENS = 6


def make_rows(num_prompts=4, per_prompt=3, seed=0):
    rng = random.Random(seed)

    def text(low, high):
        return [rng.randrange(3, 100) for _ in range(rng.randrange(low, high))]

    prompts = [text(5, 20) for _ in range(num_prompts)]
    rows = [SecondPassRow(prompt, text(1, 12), []) for prompt in prompts for _ in range(per_prompt)]
    rng.shuffle(rows)
    return rows


def never(index, ids):
    return False


def by_hand(model, row, count=TOKENS):
    """Writes the likeliest tokens of one unpadded row, one plain forward pass each."""
    ids = row.prompt_ids + row.prefix_ids
    model.eval()
    with torch.no_grad():
        for _ in range(count):
            ids = [*ids, int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())]
    return ids[-count:]


@pytest.mark.by_day("tiny_model", "sliding_window_model")
@pytest.mark.parametrize("make_model", [tiny_model, lambda: tiny_model("qwen2"), sliding_window_model])
def test_answers_are_those_of_plain_greedy_decoding(make_model):
    model, rows = make_model(), make_rows()
    expected = [by_hand(model, row) for row in rows]
    settings = {"pad_token_id": 0, "max_new_tokens": TOKENS}
    for batch_size, shared in ((1, True), (5, True), (5, False)):
        found = write_answers(model, rows, never, batch_size=batch_size, share_prompts=shared, **settings)
        assert found == expected, f"in batches of {batch_size}, shared: {shared}"


def test_a_row_ends_by_itself_and_others_go_on():
    model, rows = tiny_model(), make_rows()
    whole = [by_hand(model, row) for row in rows]
    found = write_answers(
        model, rows, lambda i, ids: len(ids) == 1 + i % 3, pad_token_id=0, batch_size=64, max_new_tokens=TOKENS
    )
    assert found == [ids[: 1 + i % 3] for i, ids in enumerate(whole)]


def passes_of(model, rows, **settings):
    way_of(model, 0)  # which tries it, once
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    settings = {"pad_token_id": 0, "batch_size": 4, "max_new_tokens": TOKENS} | settings
    found = write_answers(model, rows, **{"ended": never} | settings)
    handle.remove()
    assert len(found) == len(rows)
    return len(calls)


def test_rows_of_one_prompt_and_prefix_are_answered_once_unless_sampled():
    model, row = tiny_model(), make_rows()[0]
    generator = torch.Generator().manual_seed(0)
    assert passes_of(model, [row] * 8) == 2 + TOKENS - 1
    assert passes_of(model, [row] * 8, temperature=1.0, generator=generator) == 2 * (2 + TOKENS - 1)


def test_ranks_of_a_sharded_model_make_the_same_passes_whatever_they_ask():
    ranks = [make_rows(), make_rows(1, 2), []]
    passes = [
        passes_of(tiny_model(), rows, ended=lambda i, ids: True, most_batches=lambda own: max(own, 3), in_step=True)
        for rows in ranks
    ]
    assert passes == [3 * (2 + TOKENS - 1)] * 3


def test_sampled_answers_follow_the_generator_and_leave_the_other_random_numbers():
    model, rows = tiny_model(), make_rows(1, 1) * 400
    torch.manual_seed(7)
    state = torch.get_rng_state()

    def sample(seed, temperature):
        return write_answers(
            model, rows, never, pad_token_id=0, batch_size=400, max_new_tokens=1, temperature=temperature,
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip

    first = sample(0, 1.5)
    assert torch.equal(torch.get_rng_state(), state)
    assert first == sample(0, 1.5) != sample(1, 1.5)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([rows[0].prompt_ids + rows[0].prefix_ids])).logits[0, -1]
    expected = (logits / 1.5).softmax(-1)
    token = int(expected.argmax())
    share = sum(ids == [token] for ids in first) / 400
    assert share == pytest.approx(float(expected[token]), abs=4 * float((expected[token] / 400) ** 0.5))


def test_the_model_is_left_as_it_was_and_no_gradient_flows():
    model = tiny_model(attention_dropout=0.5)
    model.gradient_checkpointing_enable()
    model.train()
    settings = {"pad_token_id": 0, "batch_size": 8, "max_new_tokens": TOKENS}
    first = write_answers(model, make_rows(), never, **settings)
    assert model.training
    assert first == write_answers(model, make_rows(), never, **settings)  # no dropout
    assert all(parameter.grad is None for parameter in model.parameters())
