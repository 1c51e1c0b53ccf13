"""Rows have the numbers of a plain pass over each alone, whatever a model's positions depend on."""

import math
import random
from functools import partial

import pytest
import torch
from accelerate.utils import convert_outputs_to_fp32
from test_tree_pass import bloom, windows_of_its_own
from tiny import tiny_model
from transformers import GPT2Config, GPT2LMHeadModel, MptConfig, MptForCausalLM, Phi3Config, Phi3ForCausalLM, set_seed

from align.methods.pairs.shared_prompts import read_tokens
from align.models.likelihood import Tokens, token_nll
from align.models.rope_lengths import forget_lengths
from align.models.second_pass.answers import write_answers
from align.models.second_pass.forward import SecondPassRow, score_letters
from align.models.second_pass.tree_pass import reads_trees
from align.models.second_pass.trial import Way, reads_behind_padding, way_of
from align.models.shared_prefixes import tokens_read_alike

LETTER_IDS = [40, 41, 42, 43]
ORIGINAL = 24  # tokens, up to which positions are the same


def biases_by_distance():
    set_seed(0)
    return MptForCausalLM(MptConfig(vocab_size=128, d_model=32, n_layers=2, n_heads=4, initializer_range=0.2))


def long_rope():
    set_seed(0)
    rope = {"rope_type": "longrope", "rope_theta": 10_000.0, "original_max_position_embeddings": ORIGINAL}
    config = Phi3Config(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=512, original_max_position_embeddings=ORIGINAL, initializer_range=0.2, pad_token_id=0,
        rope_parameters=rope | {"short_factor": [1.0] * 4, "long_factor": [4.0, 6.0, 8.0, 16.0]},
    )  # fmt: skip
    return Phi3ForCausalLM(config)


def dynamic_rope():
    rope = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0}
    return tiny_model(max_position_embeddings=ORIGINAL, rope_parameters=rope, initializer_range=0.2)


MODELS = {
    "alibi": biases_by_distance, "alibi that knows the mask": bloom, "local windows": windows_of_its_own,
    "longrope": long_rope, "dynamic": dynamic_rope,
}  # fmt: skip
WAYS = {
    "alibi": Way.PADDED, "alibi that knows the mask": Way.SHARED, "local windows": Way.PADDED,
    "longrope": Way.PADDED, "dynamic": Way.PADDED,
}  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    """A model that is tried once for all tests."""
    return MODELS[name]().eval()


def make_rows():
    rng = random.Random(0)

    def text(low, high):
        return [rng.randrange(3, 100) for _ in range(rng.randrange(low, high))]

    prompts = [text(5, 40) for _ in range(4)]
    return [SecondPassRow(prompt, text(1, 12), LETTER_IDS) for prompt in prompts for _ in range(2)]


def plain(model, ids):
    """Logits of one row, as of a model that has read nothing before."""
    forget_lengths(model)
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


def learnt_positions():
    set_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=128, n_embd=32, n_layer=2, n_head=4, initializer_range=0.2))


def found(model):
    tokens = tokens_read_alike(model, model.base_model, partial(read_tokens, model))
    return way_of(model, 0), reads_behind_padding(model, 0), tokens


@pytest.mark.parametrize(
    ("weights", "mixed"),
    [(torch.float32, True), (torch.bfloat16, True), (torch.bfloat16, False), (torch.float16, False)],
)
@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (partial(tiny_model, initializer_range=0.2), (Way.SHARED, True, math.inf)),
        (learnt_positions, (Way.SHARED, False, math.inf)),
        (biases_by_distance, (Way.PADDED, True, 0)),
    ],
    ids=["rotary", "learnt", "alibi"],
)
def test_a_trial_finds_the_same_in_any_precision(build, expected, weights, mixed):
    assert found(build().eval()) == expected
    model = build().to(weights).eval()
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        model.forward = convert_outputs_to_fp32(model.forward)  # as accelerate does
        assert found(model) == expected


def test_rounding_of_one_token_is_not_taken_for_a_counted_position():
    def rounds(seed):
        return tiny_model(seed=seed, num_hidden_layers=3, initializer_range=0.6).to(torch.bfloat16).eval()

    assert all(reads_behind_padding(rounds(seed), 0) for seed in range(6))


def test_a_trial_admits_what_a_model_can(name):
    model = MODELS[name]()
    assert way_of(model, 0) is WAYS[name]
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    assert way_of(model, 0) is WAYS[name]
    assert not calls  # a model is tried once


@pytest.mark.parametrize("share_prompts", [True, False])
def test_letters_have_the_scores_of_plain_passes(model, share_prompts):
    rows = make_rows()
    scores = score_letters(model, rows, pad_token_id=0, batch_size=5, share_prompts=share_prompts)
    for row, found in zip(rows, scores, strict=True):
        alone = plain(model, row.prompt_ids + row.prefix_ids)[-1, LETTER_IDS].log_softmax(-1)
        torch.testing.assert_close(torch.tensor(found), alone, rtol=0, atol=2e-5)


def test_written_answers_are_those_of_plain_passes(model):
    rows = make_rows()
    found = write_answers(model, rows, lambda i, ids: False, pad_token_id=0, batch_size=5, max_new_tokens=4)
    for row, new in zip(rows, found, strict=True):
        ids = row.prompt_ids + row.prefix_ids
        for token in new:
            assert token == int(plain(model, ids)[-1].argmax())
            ids = [*ids, token]


def test_texts_are_as_likely_as_alone(model):
    rows = [Tokens(row.prompt_ids, row.prefix_ids) for row in make_rows()]
    for row, found in zip(rows, token_nll(model, rows, pad_token_id=0), strict=True):
        log_probs = plain(model, [*row.prompt, *row.text]).log_softmax(-1)[len(row.prompt) - 1 : -1]
        alone = -log_probs.gather(-1, torch.tensor(row.text)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(found), alone, rtol=0, atol=2e-5)


def test_an_ordinary_model_shares_and_reads_trees():
    model = tiny_model()
    assert way_of(model, 0) is Way.SHARED
    assert reads_trees(model, 0)
