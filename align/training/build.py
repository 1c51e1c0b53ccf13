"""What the trainers of all methods are built from: a parsed recipe, and data that was checked before."""

from typing import Any

from datasets import Dataset, Image
from transformers import Trainer

from align.data.training_data import Rows, TrainingData
from align.methods import METHODS
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward


def build_trainer(recipe: Recipe, data: TrainingData[Any], rewards: list[Reward]) -> Trainer:
    """Builds the trainer of a recipe's method from data and rewards that were checked before."""
    trainer: Trainer = METHODS[recipe.method].part("build")(recipe, data, rewards)
    return trainer


def as_dataset(rows: Rows) -> Dataset:
    """Makes a data set whose images are decoded when they are read."""
    dataset = Dataset.from_list(rows)
    return dataset.cast_column("images", [Image()]) if "images" in dataset.column_names else dataset


def eval_dataset(rows: Rows) -> Dataset | None:
    """Makes the data set for evaluation, None where there are no rows."""
    return as_dataset(rows) if rows else None


def peft_config(recipe: Recipe, task_type: str = "CAUSAL_LM") -> Any | None:
    """Returns the adapter of the recipe, None where all weights are trained."""
    if not recipe.model.use_peft:
        return None
    from peft import LoraConfig

    model = recipe.model
    return LoraConfig(
        r=model.lora_r,
        lora_alpha=model.lora_alpha,
        lora_dropout=model.lora_dropout,
        target_modules=model.lora_target_modules,
        task_type=task_type,
    )
