"""Trainers that sample completions and compare them behind two prompts, on a tiny model."""

import torch
from datasets import Dataset
from tiny import tiny_model, tiny_tokenizer

from align.experimental.consistency.answers import ConsistentGRPOConfig, ConsistentGRPOTrainer

TOKENIZER = tiny_tokenizer()
QUIET = {"bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
QUIET |= {"gradient_checkpointing": False}  # which is one of the settings that are tried
ON = {"consistency_coef": 2.0, "consistency_families": ["distractor"]}


def by_length(completions, **kwargs):
    return [float(len(str(completion)) % 3) for completion in completions]


def make_rows(count=16):
    return [{"prompt": f"Ann has {'many ' * (i % 3)}{i}. Who?", "answer": "Ann"} for i in range(count)]


def make_trainer(folder, trainer=ConsistentGRPOTrainer, config=ConsistentGRPOConfig, rows=None, **settings):
    base = {
        "output_dir": str(folder),
        "max_steps": 2,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 6,
        "learning_rate": 1e-2,
        "logging_steps": 1,
    }
    if config is ConsistentGRPOConfig:  # other batches would be other roundings
        base["skip_without_advantage"] = "off"
    given = {name: settings.pop(name) for name in ("peft_config", "eval_dataset") if name in settings}
    return trainer(
        settings.pop("model", None) or tiny_model(vocabulary=len(TOKENIZER)),
        reward_funcs=[by_length],
        args=config(**QUIET | base | settings),
        train_dataset=Dataset.from_list(rows or make_rows()),
        processing_class=TOKENIZER,
        **given,
    )


def gradient_and_batches(trainer):
    """Takes one step without moving a weight; returns the gradient and what TRL's loss was given."""
    batches, grads = [], []
    inner, step = trainer._compute_loss, trainer.training_step

    def compute_loss(model, inputs):
        batches.append(inputs)
        return inner(model, inputs)

    def training_step(*args):
        loss = step(*args)
        grads.append(torch.cat([weight.grad.flatten().clone() for weight in trainer.model.parameters()]))
        return loss

    trainer._compute_loss, trainer.training_step = compute_loss, training_step
    trainer.train()
    return grads[-1], batches
