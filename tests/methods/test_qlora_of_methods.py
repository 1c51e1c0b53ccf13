"""With weights of 4 or 8 bits every method trains its adapter, on a CPU too, and leaves the weights as they are."""

import math
from importlib import import_module
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file
from some_recipes import PAIRS, REWARD_PAIRS
from tiny import tiny_model, tiny_tokenizer

from align.methods import METHODS
from align.models.rewards import resolve_rewards
from align.training.as_in_trl import keep_adapter_dtype
from align.training.build import build_trainer

pytestmark = pytest.mark.skipif(not find_spec("bitsandbytes"), reason="needs the extra `qlora`")


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
    layers = import_module("bitsandbytes").nn  # by the trainer first: seconds, of which the fast tier has none to give
    kind = {"load_in_4bit": layers.Linear4bit, "load_in_8bit": layers.Linear8bitLt}[bits]
    quantized = [module for module in trainer.model.modules() if isinstance(module, kind)]
    assert len(quantized) >= 14
    # In an evaluation bitsandbytes would pack weights of 4 bits, which no gradient passes afterwards.
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        trainer.model.eval()(torch.tensor([[3, 4]]))
    states = [getattr(module.weight, "quant_state", None) for module in quantized]
    assert not any(getattr(state, "packing_format_for_cpu", False) for state in states)
    before = [module.weight.detach().clone() for module in quantized]
    learnt = {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}
    trainer.train()
    assert all(torch.equal(old, module.weight) for old, module in zip(before, quantized, strict=True))
    assert any(not torch.equal(old, dict(trainer.model.named_parameters())[name]) for name, old in learnt.items())
    assert all(math.isfinite(each["loss"]) for each in trainer.state.log_history if "loss" in each)


@pytest.mark.slow
def test_a_run_that_goes_on_ends_with_the_adapter_of_the_uninterrupted_one(recipe_of, model, tmp_path):
    def end(checkpoint=None):
        keys = {"use_peft": True, "dtype": "bfloat16", "bf16": True, "load_in_4bit": True, "learning_rate": 1e-3}
        recipe = recipe_of(PAIRS, model_name_or_path=model, max_steps=4, save_strategy="steps", save_steps=2, **keys)
        trainer = build_trainer(recipe, METHODS[PAIRS].part("load")(recipe), resolve_rewards(recipe))
        keep_adapter_dtype(trainer)
        trainer.train(resume_from_checkpoint=checkpoint)
        return load_file(tmp_path / "out" / "checkpoint-4" / "adapter_model.safetensors")

    whole = end()
    resumed = end(str(tmp_path / "out" / "checkpoint-2"))
    assert {weight.dtype for weight in whole.values()} == {torch.bfloat16}
    assert all(torch.equal(weight, resumed[name]) for name, weight in whole.items())
