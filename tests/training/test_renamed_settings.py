"""Python use of our trainers is not warned of what TRL sets by an old name."""

import warnings

import pytest
import torch
from tiny import tiny_model
from transformers import DynamicCache

from align.methods import METHODS
from align.models.second_pass.shared_prompts import given_cache


@pytest.mark.parametrize("method", METHODS)
def test_a_config_with_defaults_warns_of_nothing_that_is_renamed(method, tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".* is deprecated", category=FutureWarning)
        config = METHODS[method].config_class()(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    parent = next((each for each in type(config).__mro__ if each.__module__.startswith("trl.")), type(config))
    assert config.gradient_checkpointing == parent(str(tmp_path), use_cpu=True, bf16=False).gradient_checkpointing


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_cache_is_handed_over_by_the_name_that_the_model_has(wrapped):
    from peft import LoraConfig, get_peft_model

    model = tiny_model()
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"])) if wrapped else model
    cache = DynamicCache(config=model.config)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("error", message=".* is deprecated", category=FutureWarning)
        model(input_ids=torch.tensor([[1, 2]]), **given_cache(model, cache))
    assert cache.get_seq_length() == 2
