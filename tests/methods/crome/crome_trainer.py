"""Trainers of Crome on a few pairs of a tiny model."""

import random

from datasets import Dataset, IterableDataset
from peft import LoraConfig
from tiny import tiny_tokenizer
from trl import RewardConfig

from align.methods.crome.config import CromeConfig
from align.methods.crome.trainer import CromeTrainer

TOKENIZER = tiny_tokenizer()
QUIET = {"bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
SCALAR_LORA = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="SEQ_CLS")
PAIRWISE_LORA = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")


def make_rows(count=16, seed=0, *, messages=False, ties=False):
    """Right answers are even; a tie is two odd ones."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        tie = ties and i % 3 == 0
        chosen, rejected = (f"It is {2 * rng.randint(10, 40) + odd}." for odd in ((1, 1) if tie else (0, 1)))
        prompt = f"q{i}?"
        if messages:
            prompt = [{"role": "user", "content": prompt}]
            chosen, rejected = ([{"role": "assistant", "content": text}] for text in (chosen, rejected))
        row = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        source = "irrelevant_query" if tie else ("preference", "upgrade")[i % 2]
        rows.append(row | ({"tie": tie, "source": source} if ties else {}))
    return rows


def make_trainer(tmp_path, model, rows=None, *, trainer=CromeTrainer, peft_config=None, eval_rows=None, **settings):
    base = QUIET | {
        "output_dir": str(tmp_path),
        "max_steps": 3,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "max_length": 400,
    }
    config = CromeConfig if issubclass(trainer, CromeTrainer) else RewardConfig
    return trainer(
        model,
        args=config(**base | settings),
        train_dataset=rows if isinstance(rows, IterableDataset) else Dataset.from_list(rows or make_rows()),
        eval_dataset=Dataset.from_list(eval_rows) if eval_rows else None,
        processing_class=TOKENIZER,
        peft_config=peft_config,
    )
