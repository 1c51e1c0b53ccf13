"""DeconfoundLM on parts, on several data sets for evaluation, and on rows that `evaluate` is given."""

import pytest
from datasets import Dataset
from observed_table import write_outcome_recipe
from tiny import tiny_reward_model, tiny_tokenizer
from transformers import TrainerCallback, TrainingArguments

from align.methods.deconfound.config import DeconfoundConfig
from align.methods.deconfound.data import load
from align.methods.deconfound.trainer import DeconfoundTrainer
from align.recipe.recipe import load_recipe

QUIET = {"bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}


class Ends(TrainerCallback):
    """Counts steps."""

    steps = 0

    def on_step_end(self, *args, **kwargs):
        self.steps += 1


def in_parts(row):
    parts = [{"type": "text", "text": row["prompt"][0]["content"]}]
    return row | {"prompt": [{"role": "user", "content": parts}]}


def test_parts_several_evaluations_and_given_rows_are_read(tmp_path, tiny_model_folder):
    recipe = write_outcome_recipe(tmp_path, tiny_model_folder, dataset={"conversational": True})
    data = load(load_recipe(recipe))
    rows = data.rows[:8]
    given = {"correction": data.extra.correction, "scale": data.extra.scale, "processing_class": tiny_tokenizer()}

    def trainer(rows, **more):
        args = DeconfoundConfig(str(tmp_path / "run"), max_steps=2, per_device_train_batch_size=4, **QUIET)
        return DeconfoundTrainer(tiny_reward_model(), args, Dataset.from_list(rows), **given | more)

    ends = Ends()
    more = {"compute_metrics": lambda found: {"scored": len(found.predictions)}, "callbacks": [ends]}
    plain = trainer(rows, eval_dataset={"a": Dataset.from_list(rows), "b": Dataset.from_list(rows[:4])}, **more)
    parts = trainer([in_parts(row) for row in rows])
    assert plain.train_dataset["input_ids"] == parts.train_dataset["input_ids"]
    plain.train()
    found = plain.evaluate()
    assert found["eval_a_loss"] == plain.evaluate(Dataset.from_list(rows))["eval_loss"]
    assert found["eval_b_loss"] > 0
    assert (found["eval_a_scored"], found["eval_b_scored"], ends.steps) == (8, 4, 2)
    with pytest.raises(TypeError, match=r"must be a `datasets.Dataset`, got IterableDataset: outcomes were corrected"):
        plain.evaluate(Dataset.from_list(rows).to_iterable_dataset())
    with pytest.raises(ValueError, match=r"evaluation rows have no label, outcome, confounders \(columns: prompt, te"):
        plain.evaluate(Dataset.from_list([{"prompt": "q", "text": "a"}]))
    with pytest.raises(TypeError, match="must be a DeconfoundConfig, got TrainingArguments"):
        DeconfoundTrainer("unused", TrainingArguments(str(tmp_path), **QUIET), Dataset.from_list(rows), **given)
    with pytest.raises(TypeError, match="`data_collator` is DeconfoundTrainer's own"):
        trainer(rows, data_collator=list)
    with pytest.raises(ValueError, match="`train_dataset` is required"):
        DeconfoundTrainer(tiny_reward_model(), **given)
