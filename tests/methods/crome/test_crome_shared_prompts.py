"""Rewards of pairs whose prompt is read once are those of answers that are read alone."""

from copy import deepcopy

import pytest
import torch
from crome_trainer import PAIRWISE_LORA, SCALAR_LORA, TOKENIZER, make_rows, make_trainer
from tiny import tiny_model, tiny_reward_model
from transformers import GPT2Config, GPT2ForSequenceClassification, set_seed

LORAS = [
    deepcopy(each) for each in (SCALAR_LORA, PAIRWISE_LORA)
]  # peft writes the names of modules into what it is given


def gpt2():
    """A model without parts that compute in single precision whatever its weights are."""
    set_seed(0)
    config = GPT2Config(
        vocab_size=len(TOKENIZER), n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.2,
        bos_token_id=None, eos_token_id=1, pad_token_id=0, num_labels=1,
    )  # fmt: skip
    return GPT2ForSequenceClassification(config)


def llama():
    return tiny_reward_model(vocabulary=len(TOKENIZER))


def causal():
    return tiny_model(vocabulary=len(TOKENIZER), hidden_size=128)  # so wide that two answers in one row pay


def loss_and_gradient(trainer, dtype):
    """Of the first batch, with the tokens that were read and those of the batch."""
    trainer.model.to(dtype)
    trainer.model.train()
    batch, read = next(iter(trainer.get_train_dataloader())), []
    trainer._shared.are_used(trainer.model)
    trainer.model.get_input_embeddings().register_forward_hook(lambda _, given, __: read.append(given[0].numel()))
    loss = trainer.compute_loss(trainer.model, dict(batch))
    loss.backward()
    grads = [weight.grad.flatten() for weight in trainer.model.parameters() if weight.grad is not None]
    return loss.item(), torch.cat(grads), read, batch["input_ids"].numel()


@pytest.mark.by_day("double-lora", "pairwise-lora")
@pytest.mark.parametrize(
    ("make", "dtype", "near", "peft_config", "settings"),
    [
        (gpt2, torch.float64, 1e-12, None, {}),
        (gpt2, torch.float64, 1e-12, LORAS[0], {"center_rewards_coefficient": 0.1}),
        (llama, torch.float32, 1e-6, None, {"gradient_checkpointing": True}),
        (causal, torch.float32, 1e-6, LORAS[1], {"model_type": "pairwise"}),
    ],
    ids=["double", "double-lora", "single-checkpointed", "pairwise-lora"],
)
def test_losses_and_gradients_are_those_of_prompts_read_twice(tmp_path, make, dtype, near, peft_config, settings):
    found, rows = {}, make_rows(messages=True, ties=True)
    for knob in ("off", "auto"):
        set_seed(0)
        trainer = make_trainer(
            tmp_path, make(), rows, peft_config=deepcopy(peft_config), share_prompts=knob, **settings
        )
        found[knob] = loss_and_gradient(trainer, dtype)
    (loss, grads, read, tokens), (our_loss, our_grads, our_read, _) = found["off"], found["auto"]
    assert our_loss == pytest.approx(loss, rel=near)
    assert (our_grads - grads).abs().max() <= near
    assert grads.abs().max() > 0.01
    assert read == [tokens]
    assert len(our_read) == 1
    assert our_read[0] < 0.8 * tokens
