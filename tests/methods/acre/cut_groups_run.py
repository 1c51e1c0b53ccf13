"""Trains on given completions in the processes of one launch; run by test_cut_groups.py."""

import os
import sys
from pathlib import Path

from accelerate import PartialState
from datasets import Dataset
from transformers import AutoTokenizer

from align.assets import find_recipe
from align.data.questions.multiple_choice import load_questions
from align.data.questions.rows import question_rows
from align.data.questions.templates import PromptTemplate
from align.methods.acre.config import ACREConfig
from align.methods.acre.trainer import ACRETrainer
from align.training.callbacks import MetricsFile
from rewards import answer_agreement

LAB = find_recipe("acre/quickstart").parent / "assets" / "lab"
TEMPLATE = PromptTemplate("{question}\n{options}", None, False)


class Given(ACRETrainer):
    """Replaces what was sampled by what a prompt and the place of a completion among all ranks' make."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        first = self.accelerator.process_index * len(prompt_ids) if self.model.training else 0
        places = [sum(ids) + (first + i) * self.model.training for i, ids in enumerate(prompt_ids)]
        texts = [f"<think>{place % 3}</think><answer>{'ABCD'[place % 4]}</answer>" for place in places]
        return [[*self._tokenizer.encode(text), self._tokenizer.eos_token_id] for text in texts], None


def main(folder: str, generated: int) -> None:
    """Trains with so many completions at once, on all ranks together, four of each question."""
    rows = {
        name: Dataset.from_list(question_rows(load_questions(LAB / f"{name}.jsonl", max_rows=50)[0], TEMPLATE))
        for name in ("train", "eval")
    }
    settings = {
        "num_generations": 4,
        "per_device_train_batch_size": generated // int(os.environ.get("WORLD_SIZE", "1")),
    }
    settings |= {"max_completion_length": 12, "max_steps": 3, "logging_steps": 1, "eval_strategy": "no", "seed": 3}
    settings |= {"log_completions": True, "save_strategy": "no", "bf16": False, "use_cpu": True, "report_to": "none"}
    trainer = Given(
        str(LAB / "misreader"),
        answer_agreement,
        args=ACREConfig(folder, gradient_checkpointing=False, learning_rate=0.1, optim="sgd", **settings),
        train_dataset=rows["train"],
        eval_dataset=rows["eval"],
        probe=rows["eval"],
        processing_class=AutoTokenizer.from_pretrained(LAB / "misreader", padding_side="left"),
        render_prompt=TEMPLATE.render,
    )
    trainer.add_callback(MetricsFile(Path(folder) / "metrics.jsonl"))
    trainer.train()
    trainer.save_model(folder)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
    PartialState().destroy_process_group()
