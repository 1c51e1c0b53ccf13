"""Trainers of RRPO and DPO on a few pairs, for some steps on the CPU."""

from pathlib import Path

from datasets import Dataset
from pair_recipe import fact_pairs
from tiny import tiny_tokenizer
from trl import DPOConfig

from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.trainer import RRPOTrainer

QUIET = {"bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
QUIET |= {"gradient_checkpointing": False}  # which the tests of the loss have once


def make_trainer(
    tmp_path,
    model,
    rows=None,
    *,
    trainer=RRPOTrainer,
    ref_model=None,
    peft_config=None,
    eval_rows=None,
    processing_class=None,
    **settings,
):
    """Makes a trainer of a model or its folder; keywords change its settings."""
    base = QUIET | {
        "output_dir": str(tmp_path),
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "max_length": 64,
    }
    config = RRPOConfig if issubclass(trainer, RRPOTrainer) else DPOConfig
    return trainer(
        str(model) if isinstance(model, Path) else model,
        ref_model,
        args=config(**base | settings),
        train_dataset=Dataset.from_list(rows or fact_pairs(16)),
        eval_dataset=Dataset.from_list(eval_rows) if eval_rows else None,
        processing_class=processing_class or tiny_tokenizer(),
        peft_config=peft_config,
    )
