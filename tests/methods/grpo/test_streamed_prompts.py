"""GRPO on a stream that was made in Python."""

import pytest
from datasets import Dataset
from tiny import tiny_model, tiny_tokenizer

from align.experimental.canary.trainer import CanaryGRPOConfig, CanaryGRPOTrainer

PROMPTS = ["a?", "bc?", "def?"]


def test_a_canary_reads_the_first_prompts_and_blocks_of_rows_are_refused(tmp_path):
    tokenizer = tiny_tokenizer()
    given = {
        "model": tiny_model(vocabulary=len(tokenizer)),
        "reward_funcs": lambda completions, **kwargs: [0.0] * len(completions),
        "args": CanaryGRPOConfig(
            str(tmp_path), max_steps=1, num_generations=2, canary_prompts=2, use_cpu=True, bf16=False, report_to="none"
        ),
        "train_dataset": Dataset.from_list([{"prompt": prompt} for prompt in PROMPTS]).to_iterable_dataset(),
        "processing_class": tokenizer,
    }
    found = CanaryGRPOTrainer(**given)._draw_canary_prompts()
    assert [each.ids for each in found] == [tokenizer(prompt)["input_ids"] for prompt in PROMPTS[:2]]
    with pytest.raises(ValueError, match="`rows_together` is 2, and TRL shuffles the rows of a stream one by one"):
        CanaryGRPOTrainer(**given, rows_together=2)
