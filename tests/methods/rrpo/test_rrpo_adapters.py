"""The reference of an adapter: all adapters off, or the adapter as it was, which TRL keeps under the name `ref`."""

import warnings

import pytest
import torch
from pair_trainer import make_trainer
from peft import LoraConfig, get_peft_model
from tiny import tiny_model
from trained import logged
from transformers import set_seed
from trl import DPOTrainer

from align.methods.rrpo.trainer import RRPOTrainer

NEARLY = {"spans": "whole", "kl_coef": 1e-12}  # with 0 it is DPO itself


LORA = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")


def adapted():
    """Puts an adapter on a model that has learnt something."""
    set_seed(0)
    model = get_peft_model(tiny_model(), LORA)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return model


@pytest.mark.parametrize(("model", "config"), [(tiny_model, LORA), (adapted, None)], ids=["new", "goes on"])
def test_the_reference_is_the_one_of_dpo_and_nothing_has_changed_before_the_first_step(tmp_path, model, config):
    ours, theirs = (
        make_trainer(tmp_path, model(), trainer=trainer, peft_config=config, **settings)
        for trainer, settings in ((RRPOTrainer, NEARLY), (DPOTrainer, {}))
    )
    for trainer in (ours, theirs):
        assert ("ref" in trainer.model.peft_config) == (config is None)
        trainer.train()
    assert logged(ours) == pytest.approx(logged(theirs), rel=1e-4)
    assert logged(ours, "rrpo/kl_chosen")[0] == pytest.approx(0, abs=1e-5)
    assert ours.model.active_adapter == "default"


@pytest.mark.parametrize("is_reentrant", [False, True])
def test_checkpoints_of_activations_change_no_loss_and_say_nothing_of_the_reference(tmp_path, is_reentrant):
    settings = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": is_reentrant}}
    plain = make_trainer(tmp_path, adapted(), kl_coef=0.1)
    checkpointed = make_trainer(tmp_path, adapted(), kl_coef=0.1, **settings)
    plain.train()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        checkpointed.train()
    assert logged(checkpointed) == pytest.approx(logged(plain), rel=1e-5)
    assert [str(each.message) for each in told if "requires_grad" in str(each.message)] == []
