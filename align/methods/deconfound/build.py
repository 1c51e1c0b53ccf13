from typing import Any

from align.data.training_data import TrainingData
from align.methods.deconfound.trainer import DeconfoundTrainer
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.training.build import as_dataset, eval_dataset, peft_config, processing_class
from align.training.settings import build_config, model_kwargs


def build(recipe: Recipe, data: TrainingData[Any], rewards: list[Reward]) -> DeconfoundTrainer:
    """Builds a reward model on corrected outcomes, with a new scalar head."""
    return DeconfoundTrainer(
        recipe.model.model_name_or_path,
        build_config(recipe),
        as_dataset(data.rows),
        correction=data.extra.correction,
        scale=data.extra.scale,
        eval_dataset=eval_dataset(data.eval_rows),
        processing_class=processing_class(recipe),
        peft_config=peft_config(recipe, "SEQ_CLS"),
        model_kwargs=model_kwargs(recipe),
    )
