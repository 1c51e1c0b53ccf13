from align.data.pairs.preferences import PreferencePair
from align.data.training_data import TrainingData
from align.methods.rrpo.trainer import RRPOTrainer
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.training.build import eval_dataset, peft_config, processing_class, training_rows
from align.training.settings import build_config


def build(recipe: Recipe, data: TrainingData[PreferencePair], rewards: list[Reward]) -> RRPOTrainer:
    """Builds RRPO; TRL loads the model, its reference and its tokenizer or processor from the recipe's path."""
    return RRPOTrainer(
        model=recipe.model.model_name_or_path,
        args=build_config(recipe),
        train_dataset=training_rows(data),
        eval_dataset=eval_dataset(data.eval_rows),
        processing_class=processing_class(recipe),
        peft_config=peft_config(recipe),
    )
