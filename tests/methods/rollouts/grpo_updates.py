"""A small GRPO trainer, its batches before an update, and what their gradients and reads are compared by."""

from contextlib import contextmanager

import torch
from datasets import Dataset
from tiny import tiny_model, tiny_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel

from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer

TOKENIZER = tiny_tokenizer()
QUIET = {"bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
SIZES = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "num_generations": 4, "max_steps": 2}


def some_teach(prompts, completions, **kwargs):
    """Pays the same for all completions of a prompt with `many`, so that these have no advantage."""
    texts = zip(map(str, prompts), map(str, completions), strict=True)
    return [1.0 if "many" in prompt else float(len(text) % 3) for prompt, text in texts]


def make_rows():
    return [{"prompt": f"Ann has {'many ' * (i % 3)}{i}. Who?"} for i in range(16)]


def make_trainer(
    folder,
    model=None,
    reward=some_teach,
    rows=None,
    tokenizer=TOKENIZER,
    peft_config=None,
    kind=GuardedGRPOTrainer,
    **settings,
):
    config = GRPOConfig(
        **QUIET | SIZES | {"output_dir": str(folder), "max_completion_length": 6, "learning_rate": 0.1} | settings,
        optim="sgd", lr_scheduler_type="constant", logging_steps=1, max_grad_norm=0.0, gradient_checkpointing=False,
    )  # fmt: skip
    return kind(
        model or tiny_model(vocabulary=len(TOKENIZER)),
        reward_funcs=[reward],
        args=config,
        train_dataset=Dataset.from_list(rows or make_rows()),
        processing_class=tokenizer,
        peft_config=peft_config,
    )


def generated(trainer):
    """Generates once, and returns TRL's batches; the trainer stands where an update begins."""
    torch.manual_seed(0)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    with as_trl(trainer):
        trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    return trainer._buffered_inputs


@contextmanager
def as_trl(trainer):
    trainer._cuts, cuts = False, trainer._cuts
    yield
    trainer._cuts = cuts


def gradient(trainer, batches):
    trainer.model.zero_grad()
    for batch in batches:
        trainer._compute_loss(trainer.model, batch).backward()
    weights = (weight for weight in trainer.model.parameters() if weight.requires_grad)
    return torch.cat([(torch.zeros_like(w) if w.grad is None else w.grad).flatten() for w in weights])


def packed(trainer, batches):
    return [trainer._cut(batch) for batch in (trainer._pack(batches) if trainer._packs else batches)]


def distance(trainer, batches):
    """Compares the gradients of TRL's batches and of the packed ones, as a share of the largest entry."""
    found = gradient(trainer, packed(trainer, batches))
    with as_trl(trainer):
        expected = gradient(trainer, batches)
    assert expected.abs().max() > 0
    return float((expected - found).abs().max() / expected.abs().max())


def double_model():
    """Builds a model that computes in fp64 throughout (no rotary angles, no RMS norms), and learns its positions."""
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(TOKENIZER),
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=128,
            initializer_range=0.3,
            attn_pdrop=0,
            resid_pdrop=0,
            embd_pdrop=0,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=1,
        )
    )
    return model.double()


def long_prompts():
    return [{"prompt": f"Ann has {'more and ' * (2 + i % 3)}{i}. Who?"} for i in range(16)]


def all_teach(prompts, completions, **kwargs):
    return [float(i % 3 == 0) for i in range(len(completions))]


def tokens_of_an_update(trainer, batches, layer=None):
    """Counts what a layer reads of packed batches, and of TRL's without shared prompts."""
    read = []
    hook = (layer or trainer.model.base_model.layers[0]).register_forward_pre_hook(
        lambda _, args, kwargs: read.append((*args, *kwargs.values())[0].shape[:-1].numel()), with_kwargs=True
    )
    found = packed(trainer, batches)
    gradient(trainer, found)  # with its trials
    read.clear()
    gradient(trainer, found)
    ours = sum(read)
    with as_trl(trainer):
        gradient(trainer, batches)
    hook.remove()
    return ours, sum(read) - ours
