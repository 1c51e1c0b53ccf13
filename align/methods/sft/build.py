from align.data.training_data import TrainingData
from align.methods.sft.demonstrations import Demonstration
from align.methods.sft.trainer import CountedSFTTrainer
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.training.build import as_dataset, eval_dataset, peft_config
from align.training.settings import build_config


def build(
    recipe: Recipe,
    data: TrainingData[Demonstration],
    rewards: list[Reward],
    trainer: type[CountedSFTTrainer] = CountedSFTTrainer,
) -> CountedSFTTrainer:
    """Builds SFT; TRL loads the model and its tokenizer from the recipe's path."""
    return trainer(
        model=recipe.model.model_name_or_path,
        args=build_config(recipe),
        train_dataset=as_dataset(data.rows),
        eval_dataset=eval_dataset(data.eval_rows),
        peft_config=peft_config(recipe),
    )
