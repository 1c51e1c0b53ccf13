"""Trains with what teaches nothing, and without; recipes_run.py runs it in its launch."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from datasets import Dataset
from scenes import COLOURS, square
from tiny import tiny_tokenizer, tiny_vl_model_and_processor
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer


def uneven(prompts, completions, trainer_state, **kwargs):
    """Leaves rank 1 without advantages in every other step, and both in every third."""
    step, rank = trainer_state.global_step, PartialState().process_index
    if step % 3 == 2 or (rank == 1 and step % 2 == 0):
        return [1.0] * len(prompts)
    texts = zip(prompts, completions, strict=True)
    return [1.0 if "many" in prompt else float(sum(map(ord, text)) % 3) for prompt, text in texts]


def by_place(completions, trainer_state, **kwargs):
    """Leaves rank 1 without advantages in the second step."""
    idle = PartialState().process_index == 1 and trainer_state.global_step == 1
    return [float(idle or place % 3 == 0) for place in range(len(completions))]


def train(knob: str, folder: Path, steps: int, **of_images) -> dict[str, torch.Tensor]:
    AcceleratorState._reset_state()  # DeepSpeed's "auto" keys were filled in for the trainer before
    unset_hf_deepspeed_config()
    config = GRPOConfig(
        output_dir=str(folder / knob), max_steps=steps, per_device_train_batch_size=8 if of_images else 4,
        gradient_accumulation_steps=2, num_generations=8 if of_images else 4, max_completion_length=8,
        learning_rate=0.05, optim="sgd", lr_scheduler_type="constant", logging_steps=1, bf16=False, use_cpu=True,
        report_to="none", save_strategy="no", disable_tqdm=True, gradient_checkpointing=False, loss_type="grpo",
        skip_without_advantage="off" if knob == "off" else "auto",
        model_init_kwargs=None if of_images else {"dtype": "float32"},
    )  # fmt: skip
    rows = [{"prompt": f"Ann has {'many ' * (i % 3)}{i}. Who?"} for i in range(64)]
    given = {"model": str(folder / "model"), "reward_funcs": [uneven], "processing_class": tiny_tokenizer()}
    given |= {"args": config, "train_dataset": Dataset.from_list(rows)} | of_images
    trainer = GuardedGRPOTrainer(**given)
    trainer.train()
    if trainer.accelerator.is_main_process:
        (folder / f"{knob}.json").write_text(json.dumps(trainer.state.log_history))
    return trainer.accelerator.get_state_dict(trainer.model_wrapped)


def with_images() -> dict[str, Any]:
    """Makes a model that sees, and rows whose prompts are alike and whose images are not."""
    model, processor = tiny_vl_model_and_processor()
    rows = [
        {"prompt": [{"role": "user", "content": "Look at it. " * 20}], "images": [square(colour, place=(i, i))]}
        for i, colour in enumerate(COLOURS)
    ]
    given = {"model": model, "processing_class": processor, "reward_funcs": [by_place]}
    return given | {"train_dataset": Dataset.from_list(rows)}


def run(folder: Path, steps: int) -> None:
    """Trains `folder/model`, and one with images under DDP, in two ways; writes how far weights are apart."""
    kinds = {"": dict}
    if PartialState().distributed_type == DistributedType.MULTI_CPU and find_spec("torchvision"):
        kinds["images"] = with_images
    for kind, make in kinds.items():
        (folder / kind).mkdir(exist_ok=True)
        off, auto = (train(knob, folder / kind, 3 if kind else steps, **make()) for knob in ("off", "auto"))
        if PartialState().is_main_process:
            apart = max(float((off[name].float() - auto[name].float()).abs().max()) for name in off)
            (folder / kind / "apart.json").write_text(json.dumps(apart))
