"""How `lab.py` trains an arm."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PrinterCallback, set_seed

from align.methods.crome.config import CromeConfig
from align.methods.crome.trainer import CromeTrainer
from align.models.reward_model import RewardModel
from scripts.harness import ON_A_CPU
from scripts.labs.crome.pairs import Row

MODEL = Path(__file__).resolve().parents[3] / "recipes/crome/assets/lab/model"
COLUMNS = ("prompt", "chosen", "rejected", "tie", "source")
SETTINGS: dict[str, Any] = {
    "max_steps": 700,
    "per_device_train_batch_size": 32,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.03,
    "max_length": None,
    "logging_strategy": "no",
} | ON_A_CPU


def train(rows: list[Row], seed: int, overrides: dict[str, Any]) -> RewardModel:
    """Trains a reward model without leaving a run folder."""
    set_seed(seed)  # also the head's
    model = AutoModelForSequenceClassification.from_pretrained(MODEL, num_labels=1, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    settings = SETTINGS | overrides | {"share_prompts": "off"}  # the numbers of the tables to the digit
    with tempfile.TemporaryDirectory() as folder:
        trainer = CromeTrainer(
            model,
            args=CromeConfig(output_dir=folder, seed=seed, **settings),
            train_dataset=Dataset.from_list([{name: row[name] for name in COLUMNS if name in row} for row in rows]),
            processing_class=tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return RewardModel(model, tokenizer, batch_size=256)
