"""Trains with what teaches nothing, without, and with further prompts; recipes_run.py runs it in its launch."""

import json
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object
from datasets import Dataset
from tiny import tiny_tokenizer
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from align.experimental.resampling.trainer import ResamplingGRPOConfig, ResamplingGRPOTrainer
from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer

BUDGET = 5  # of two processes: two prompts each
CALLS: list[tuple[int, list[str]]] = []  # of this process: the step, and the prompts that were answered


def uneven(prompts, completions, trainer_state, **kwargs):
    """Leaves rank 1 without advantages in every other step, and both in every third."""
    step, rank = trainer_state.global_step, PartialState().process_index
    CALLS.append((step, prompts[::4]))
    if step % 3 == 2 or (rank == 1 and step % 2 == 0):
        return [1.0] * len(prompts)
    texts = zip(prompts, completions, strict=True)
    return [1.0 if "many" in prompt else float(sum(map(ord, text)) % 3) for prompt, text in texts]


def train(knob: str, folder: Path, steps: int, budget: int = 0) -> dict[str, torch.Tensor]:
    AcceleratorState._reset_state()  # DeepSpeed's "auto" keys were filled in for the trainer before
    unset_hf_deepspeed_config()
    kind, trainer_of = (ResamplingGRPOConfig, ResamplingGRPOTrainer) if budget else (GRPOConfig, GuardedGRPOTrainer)
    config = kind(
        output_dir=str(folder / knob), max_steps=steps, per_device_train_batch_size=4, gradient_accumulation_steps=2,
        num_generations=4, max_completion_length=8, learning_rate=0.05, optim="sgd", lr_scheduler_type="constant",
        logging_steps=1, bf16=False, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True,
        gradient_checkpointing=False, loss_type="grpo", skip_without_advantage="off" if knob == "off" else "auto",
        model_init_kwargs={"dtype": "float32"}, **{"resample_without_spread": budget} if budget else {},
    )  # fmt: skip
    rows = [{"prompt": f"Ann has {'many ' * (i % 3)}{i}. Who?"} for i in range(64)]
    trainer = trainer_of(
        str(folder / "model"), reward_funcs=[uneven], args=config, train_dataset=Dataset.from_list(rows),
        processing_class=tiny_tokenizer(),
    )  # fmt: skip
    trainer.train()
    if trainer.accelerator.is_main_process:
        (folder / f"{knob}.json").write_text(json.dumps(trainer.state.log_history))
    return trainer.accelerator.get_state_dict(trainer.model_wrapped)


def run(folder: Path, steps: int) -> None:
    """Trains `folder/model` in three ways; writes how far weights are apart, and which prompts ranks asked."""
    off, auto = (train(knob, folder, steps) for knob in ("off", "auto"))
    if PartialState().is_main_process:
        apart = max(float((off[name].float() - auto[name].float()).abs().max()) for name in off)
        (folder / "apart.json").write_text(json.dumps(apart))
    CALLS.clear()
    train("further", folder, steps, BUDGET)
    ranks = gather_object([CALLS])
    if PartialState().is_main_process:
        (folder / "calls.json").write_text(json.dumps(ranks))
