"""GRPO on a stream that was made in Python."""

import pytest
from datasets import Dataset
from tiny import tiny_model, tiny_tokenizer

from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer


def test_blocks_of_rows_are_refused(tmp_path):
    tokenizer = tiny_tokenizer()
    given = {
        "model": tiny_model(vocabulary=len(tokenizer)),
        "reward_funcs": lambda completions, **kwargs: [0.0] * len(completions),
        "args": GRPOConfig(str(tmp_path), max_steps=1, num_generations=2, use_cpu=True, bf16=False, report_to="none"),
        "train_dataset": Dataset.from_list([{"prompt": "a?"}]).to_iterable_dataset(),
        "processing_class": tokenizer,
    }
    with pytest.raises(ValueError, match="`rows_together` is 2, and TRL shuffles the rows of a stream one by one"):
        GuardedGRPOTrainer(**given, rows_together=2)
