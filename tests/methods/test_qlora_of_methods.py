"""With weights of 4 or 8 bits every method trains its adapter, on a CPU too, and leaves the weights as they are."""

import math

import pytest
import torch
from some_recipes import PAIRS, REWARD_PAIRS
from tiny import tiny_model, tiny_tokenizer

from align.checks.rewards import resolve_rewards
from align.methods import METHODS
from align.training.build import build_trainer

bitsandbytes = pytest.importorskip("bitsandbytes")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """One whose layers are as wide as a block of weights with one scale."""
    folder, tokenizer = tmp_path_factory.mktemp("wide"), tiny_tokenizer()
    tiny_model(vocabulary=len(tokenizer), hidden_size=64, intermediate_size=128).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


# A policy and a reward model, and both kinds of weights; the others are nightly.
USUAL = ((PAIRS, "load_in_4bit"), (REWARD_PAIRS, "load_in_8bit"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "bits"),
    [
        pytest.param(method, bits, marks=() if (method, bits) in USUAL else pytest.mark.nightly)
        for method in METHODS
        for bits in ("load_in_4bit", "load_in_8bit")
    ],
)
def test_the_adapter_learns_and_the_quantized_weights_stay(recipe_of, model, method, bits):
    keys = {"use_peft": True, "lora_r": 4, "learning_rate": 0.1, "bf16": True, bits: True}
    recipe = recipe_of(method, model_name_or_path=model, **keys)
    trainer = build_trainer(recipe, METHODS[method].part("load")(recipe), resolve_rewards(recipe))
    kind = {"load_in_4bit": bitsandbytes.nn.Linear4bit, "load_in_8bit": bitsandbytes.nn.Linear8bitLt}[bits]
    quantized = [module for module in trainer.model.modules() if isinstance(module, kind)]
    assert len(quantized) >= 14
    before = [module.weight.detach().clone() for module in quantized]
    learnt = {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}
    trainer.train()
    assert all(torch.equal(old, module.weight) for old, module in zip(before, quantized, strict=True))
    assert any(not torch.equal(old, dict(trainer.model.named_parameters())[name]) for name, old in learnt.items())
    assert all(math.isfinite(each["loss"]) for each in trainer.state.log_history if "loss" in each)
