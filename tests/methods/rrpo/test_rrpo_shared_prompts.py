"""Prompts that are read once change neither losses nor gradients, and are read twice where that cannot be."""

from copy import deepcopy

import pytest
import torch
from pair_trainer import make_trainer
from peft import LoraConfig, PromptTuningConfig
from scenes import COLOURS, square
from tiny import tiny_model, tiny_tokenizer, tiny_vl_model_and_processor
from trained import logged
from transformers import GPT2Config, GPT2LMHeadModel, MptConfig, MptForCausalLM, set_seed

LORA = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
TOLD = "What both responses of a pair begin with is read for each of them: "


def gpt2(seed):
    """A model without parts that compute in single precision whatever its weights are."""
    set_seed(seed)
    config = GPT2Config(
        vocab_size=len(tiny_tokenizer()), n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.2,
        bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def llama(seed):
    return tiny_model(seed=seed, vocabulary=len(tiny_tokenizer()))


def loss_and_gradient(trainer, dtype):
    """Of the first batch, with the tokens that policy and reference read."""
    batch, read = next(iter(trainer.get_train_dataloader())), []
    for model in filter(None, (trainer.model, trainer.ref_model)):
        model.to(dtype)
        model.get_input_embeddings().register_forward_hook(lambda _, given, __: read.append(given[0].numel()))
    trainer.model.train()
    trainer._shared.are_used(*filter(None, (trainer.model, trainer.ref_model)))
    read.clear()
    loss = trainer.compute_loss(trainer.model, dict(batch))
    loss.backward()
    grads = [weight.grad.flatten() for weight in trainer.model.parameters() if weight.grad is not None]
    return loss.item(), torch.cat(grads), read, batch["input_ids"].numel()


@pytest.mark.by_day("double-lora-margin", "single-whole-checkpointed")
@pytest.mark.parametrize(
    ("make", "dtype", "near", "peft_config", "settings"),
    [
        (gpt2, torch.float64, 1e-12, None, {}),
        (gpt2, torch.float64, 1e-12, LORA, {"kl_placement": "margin", "kl_coef": 0.5}),
        (llama, torch.float32, 1e-6, None, {"spans": "whole", "gradient_checkpointing": True}),
        (llama, torch.float32, 1e-6, LORA, {"pad_to_multiple_of": 8}),
    ],
    ids=["double", "double-lora-margin", "single-whole-checkpointed", "single-lora-multiple"],
)
def test_losses_and_gradients_are_those_of_prompts_read_twice(tmp_path, make, dtype, near, peft_config, settings):
    found = {}
    for knob in ("off", "auto"):
        ref_model = None if peft_config else make(1)
        set_seed(0)
        own = {"ref_model": ref_model, "peft_config": deepcopy(peft_config), "share_prompts": knob, "kl_coef": 0.1}
        trainer = make_trainer(tmp_path, make(0), **own | settings)
        found[knob] = loss_and_gradient(trainer, dtype)
    (loss, grads, read, tokens), (our_loss, our_grads, our_read, _) = found["off"], found["auto"]
    assert our_loss == pytest.approx(loss, rel=near)
    assert (our_grads - grads).norm() <= near * grads.norm()
    assert grads.norm() > 0
    assert read == [tokens] * 2
    assert len(our_read) == 2
    assert max(our_read) < 0.8 * tokens


def test_runs_log_the_same(tmp_path):
    runs = []
    for knob in ("off", "auto"):
        trainer = make_trainer(tmp_path, llama(0), ref_model=llama(1), share_prompts=knob, kl_coef=0.1, max_steps=1)
        trainer.train()
        runs.append(trainer)
    names = [name for name in runs[0].state.log_history[0] if name not in ("epoch", "step")]
    assert len(names) > 15
    for name in names:
        assert logged(runs[1], name) == pytest.approx(logged(runs[0], name), rel=1e-4, abs=1e-6), name


def mpt(seed):
    size = {"d_model": 32, "n_layers": 2, "n_heads": 4}
    return MptForCausalLM(MptConfig(vocab_size=len(tiny_tokenizer()), **size))


def reason_of(trainer, capsys):
    batch = next(iter(trainer.get_train_dataloader()))
    capsys.readouterr()
    for _ in range(2):
        trainer.compute_loss(trainer.model, dict(batch))
    told = [line for line in capsys.readouterr().err.splitlines() if TOLD in line]
    assert len(told) == 1
    return told[0].partition(TOLD)[2]


@pytest.mark.parametrize(
    ("make", "peft_config", "settings", "reason"),
    [
        (mpt, None, {}, "MptModel with attention `eager` does not have the same numbers then."),
        (
            llama,
            LoraConfig(r=2, lora_dropout=0.1, target_modules="all-linear", task_type="CAUSAL_LM"),
            {"disable_dropout": False},
            "dropout is drawn for each.",
        ),
        (
            llama,
            PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM"),
            {},
            "the adapter puts virtual tokens in front of each.",
        ),
    ],
    ids=["model", "dropout", "virtual tokens"],
)
def test_what_cannot_be_is_told_once(tmp_path, capsys, make, peft_config, settings, reason):
    ref_model = None if peft_config else make(1)
    trainer = make_trainer(tmp_path, make(0), ref_model=ref_model, peft_config=peft_config, **settings)
    assert reason_of(trainer, capsys) == reason


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "idefics3"])
def test_both_responses_see_their_images_once(tmp_path, family):
    model, processor = tiny_vl_model_and_processor(family=family)
    rows = [
        {
            "prompt": [{"role": "user", "content": f"{i}? {'Look long. ' * 20}"}],
            "chosen": [{"role": "assistant", "content": f"It is {i}."}],
            "rejected": [{"role": "assistant", "content": f"It is {i + 1}."}],
            "images": [square(colour)],
        }
        for i, colour in enumerate(COLOURS)
    ]
    found = []
    for share in ("off", "auto"):
        trainer = make_trainer(
            tmp_path, deepcopy(model), rows, ref_model=deepcopy(model), processing_class=processor,
            max_length=None, share_prompts=share,
        )  # fmt: skip
        batch = next(iter(trainer.get_train_dataloader()))
        trainer.compute_loss(trainer.model, batch)  # with its trials
        read = []
        of_tokens = (
            trainer.model.base_model.get_decoder()
            .layers[0]
            .register_forward_pre_hook(
                lambda _, args, kwargs, read=read: read.append((*args, *kwargs.values())[0].shape[:2].numel()),
                with_kwargs=True,
            )
        )
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        of_tokens.remove()
        weights = [weight.grad.flatten() for weight in trainer.model.parameters() if weight.grad is not None]
        found.append((loss.detach(), torch.cat(weights), sum(read), trainer._shared.with_images))
    (loss, gradient, tokens, _), (own_loss, own_gradient, own_tokens, is_shared) = found
    assert is_shared
    assert own_tokens < 0.7 * tokens
    torch.testing.assert_close(own_loss, loss, rtol=1e-6, atol=0)
    assert (own_gradient - gradient).abs().max() < 4e-6 * gradient.abs().max()
