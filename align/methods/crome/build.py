from typing import Any

from align.data.pairs.reward_pairs import RewardPair
from align.data.training_data import TrainingData
from align.errors import RecipeError
from align.methods.crome.data import odd_head
from align.methods.crome.trainer import CromeTrainer
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.training.build import eval_dataset, peft_config, training_rows
from align.training.settings import build_config


def build(
    recipe: Recipe,
    data: TrainingData[RewardPair],
    rewards: list[Reward],
    trainer: type[CromeTrainer] = CromeTrainer,
    **more: Any,
) -> CromeTrainer:
    """Builds Crome; TRL loads the model, with a new scalar head, and its tokenizer from the recipe's path.

    Raises:
        RecipeError: If the head would read another type than its own.
    """
    args = build_config(recipe)
    if text := odd_head(recipe, bf16=args.bf16):  # which a check on another machine could only warn of
        raise RecipeError(text)
    task_type = "CAUSAL_LM" if recipe.settings.model_type == "pairwise" else "SEQ_CLS"
    return trainer(
        model=recipe.model.model_name_or_path,
        args=args,
        train_dataset=training_rows(data),
        eval_dataset=eval_dataset(data.eval_rows),
        peft_config=peft_config(recipe, task_type),
        **more,
    )
