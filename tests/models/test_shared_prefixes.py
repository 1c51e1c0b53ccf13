"""Pairs that stand in rows together have the hidden states of sequences that stand alone."""

import math
import random

import pytest
import torch
from test_tree_pass import windows_of_its_own
from test_ways_of_reading import biases_by_distance, dynamic_rope
from tiny import tiny_model
from tiny_types import tiny_type
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)
from transformers.modeling_outputs import BaseModelOutputWithPast

from align.models.shared_prefixes import fold, images_read_alike, prefixes_read_once, tokens_read_alike

WIDE = 4_096  # a model for which each token that is not read pays


def padded(sequences):
    rows = [torch.tensor(ids) for ids in sequences]
    pad = torch.nn.utils.rnn.pad_sequence
    return pad(rows, batch_first=True), pad([torch.ones_like(row) for row in rows], batch_first=True)


def test_a_row_by_hand():
    ids, mask = padded([[9, 7, 5, 5], [9, 8, 6], [9, 7, 4], [9, 8]])
    rows = fold(ids, mask, WIDE)
    assert rows.ids.tolist() == [[9, 7, 4, 5, 5, 8, 6]]
    assert rows.positions.tolist() == [[0, 1, 2, 2, 3, 1, 2]]
    assert [row.nonzero().flatten().tolist() for row in rows.sees[0]] == [
        [0], [0, 1], [0, 1, 2], [0, 1, 3], [0, 1, 3, 4], [0, 5], [0, 5, 6],
    ]  # fmt: skip
    assert [rows.places[i, :length].tolist() for i, length in enumerate(mask.sum(1))] == [
        [0, 1, 3, 4], [0, 5, 6], [0, 1, 2], [0, 5],
    ]  # fmt: skip


def test_each_token_finds_what_is_before_it_in_its_sequence():
    rng = random.Random(0)
    folded = 0
    for _ in range(200):
        head, groups, each = [1] * rng.randrange(4), rng.randrange(1, 6), rng.randrange(1, 5)
        prompts = [head + [rng.randrange(2, 5) for _ in range(rng.randrange(6))] for _ in range(groups)]
        sequences = [prompt + rng.choices((2, 3), k=rng.randrange(1, 6)) for prompt in prompts * each]
        ids, mask = torch.zeros(2, len(sequences), 3 + max(map(len, sequences)), dtype=torch.long)
        for row, sequence in enumerate(sequences):
            begin = rng.randrange(3)
            ids[row, begin : begin + len(sequence)] = torch.tensor(sequence)
            mask[row, begin : begin + len(sequence)] = 1
        multiple, most = rng.choice((1, 4)), rng.choice((math.inf, 20))
        rows = fold(ids, mask, rng.choice((1, 4, WIDE)), multiple=multiple, most=most)
        if rows is None:
            continue
        folded += 1
        size = rows.ids.shape[1]
        assert size % multiple == 0
        assert size <= most
        assert rows.sees.any(-1).all()
        read = {tuple(sequence[:depth]) for sequence in sequences for depth in range(1, len(sequence) + 1)}
        assert len(rows.ids) > 1 or len(rows.places[mask.bool()].unique()) == len(read)  # each once
        for sequence, places in zip(
            sequences, [each[there.bool()] for each, there in zip(rows.places, mask, strict=True)], strict=True
        ):
            (row,) = (places // size).unique()
            columns = places % size
            assert rows.ids[row, columns].tolist() == sequence
            assert rows.positions[row, columns].tolist() == [*range(len(sequence))]
            for depth, column in enumerate(columns.tolist()):
                assert rows.sees[row, column].nonzero().flatten().tolist() == sorted(columns[: depth + 1].tolist())
    assert folded > 100


def test_a_group_behind_a_long_prompt_is_read_in_one_row():
    prompt = [*range(3, 103)]
    ids, mask = padded([prompt + [token] * 20 for token in range(8)])
    assert fold(ids, mask, WIDE).ids.shape == (1, 100 + 8 * 20)
    assert fold(ids[:1], mask[:1], WIDE) is None


def test_long_responses_behind_short_prompts_stay_apart():
    prompt, response = [3, 4], [*range(5, 90)]
    ids, mask = padded([prompt + response, prompt + response[::-1]])
    assert fold(ids, mask, 4) is None
    assert fold(ids, mask, WIDE) is not None
    assert fold(ids, mask, WIDE, most=100) is None


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_hidden_states_are_those_of_sequences_alone(family, attention):
    body = tiny_model(family).eval().base_model
    body.set_attn_implementation(attention)
    first = [5, 6, 7, 8, 9, 10, 11]
    ids, mask = padded([[*first, 12], first, [20, 21, 22], [*first, 13, 14, 15], first[:5], [20, 30]])
    sizes = []
    body.embed_tokens.register_forward_hook(lambda _, given, __: sizes.append(given[0].numel()))
    with torch.no_grad():
        apart = body(input_ids=ids, attention_mask=mask).last_hidden_state
        with prefixes_read_once(body, lambda *given: fold(*given, WIDE)):
            in_rows = body(ids, attention_mask=mask, use_cache=False).last_hidden_state
    torch.testing.assert_close(in_rows[mask.bool()], apart[mask.bool()], rtol=0, atol=1e-5)
    assert sizes == [ids.numel(), (7 + 1 + 3) + (1 + 2 + 1)]
    with torch.no_grad():
        assert torch.equal(body(input_ids=ids, attention_mask=mask).last_hidden_state, apart)


def mistral(window):
    config = MistralConfig(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=window, initializer_range=0.2, max_position_embeddings=4_096,
    )  # fmt: skip
    return MistralForCausalLM(config)


def recurrent():
    return MambaForCausalLM(MambaConfig(vocab_size=128, hidden_size=32, state_size=4, num_hidden_layers=2))


@pytest.mark.parametrize(
    ("make", "tokens"),
    [
        (tiny_model, math.inf),
        (lambda: mistral(8), math.inf),
        (lambda: tiny_type("gemma2"), math.inf),
        (lambda: tiny_type("gpt_oss"), math.inf),
        (lambda: mistral(2_000), 1_024),
        (windows_of_its_own, 0),
        (biases_by_distance, 0),
        (dynamic_rope, 0),
        (recurrent, 0),
    ],
    ids=["llama", "short windows", "windows of some layers", "eager windows", "long windows", "windows in its layers",
         "alibi", "positions by length", "states"],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_trial_tells_how_long_rows_may_be(make, tokens, dtype):
    model = make().to(dtype)
    model.train()
    found = tokens_read_alike(model, model.base_model, lambda ids, mask: model(input_ids=ids, attention_mask=mask))
    assert found == tokens
    assert model.training


def test_a_body_that_looks_at_more_than_it_should_is_found_out():
    class All(torch.nn.Module):
        """Adds to each token the mean of its row."""

        def __init__(self, model):
            super().__init__()
            self.config, self.device, self.embed = model.config, model.device, model.get_input_embeddings()

        def get_input_embeddings(self):
            return self.embed

        def forward(self, input_ids, attention_mask=None, position_ids=None, use_cache=None):
            hidden = self.embed(input_ids)
            return BaseModelOutputWithPast(last_hidden_state=hidden + hidden.mean(1, keepdim=True))

    body = All(tiny_model())
    assert tokens_read_alike(body, body, lambda ids, mask: body(input_ids=ids, attention_mask=mask)) == 0


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_images_that_see_themselves_whole_keep_their_masks(attention):
    text = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "head_dim": 8,
        "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3,
        "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"],
    }  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config=text,
            vision_config=vision | {"image_size": 28, "patch_size": 7},
            mm_tokens_per_image=4,
            image_token_index=60,
        )
    )
    body = model.base_model
    body.set_attn_implementation(attention)
    torch.nn.init.normal_(body.multi_modal_projector.mm_input_projection_weight, std=0.5)
    ids, mask = padded([[61, *[60] * 4, 62, *range(5, 25), *rest] for rest in ([30, 31], [33], [30, 35]) * 2])
    pixels = torch.randn(2, 3, 28, 28).repeat_interleave(3, 0)
    given = {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels, "token_type_ids": (ids == 60).long()}
    assert images_read_alike(body, (), given)
    gradients, seen, tokens = [], [], []
    body.vision_tower.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len((*args, *kwargs.values())[0])), with_kwargs=True
    )
    for folded in (lambda *_: None, lambda *each: tokens.append(fold(*each, WIDE)) or tokens[0]):
        body.zero_grad()
        with prefixes_read_once(body, folded):
            hidden = body(**given).last_hidden_state
        (hidden[mask.bool()] ** 2 * torch.arange(1, 33)).sum().backward()
        gradients.append(torch.cat([each.grad.flatten() for each in body.parameters() if each.grad is not None]))
    assert (gradients[0] - gradients[1]).abs().max() < 1e-6 * gradients[0].abs().max()
    assert seen == [2, 2]
    assert tokens[0].ids.numel() == 1 + 2 * (25 + 3 + 1)  # the first token, and two images with three endings
