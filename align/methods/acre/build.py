from align.data.questions.multiple_choice import Question
from align.data.training_data import TrainingData
from align.methods.acre.trainer import ACRETrainer
from align.recipe.recipe import Recipe
from align.training.build import as_dataset, eval_dataset, peft_config
from align.training.reward_build import Rewards, guard, reward_tokenizers
from align.training.settings import build_config


def build(recipe: Recipe, data: TrainingData[Question], rewards: Rewards) -> ACRETrainer:
    """Builds ACRE; TRL loads the model and its tokenizer from the recipe's path."""
    trained, rules = guard(recipe, rewards)
    return ACRETrainer(
        model=recipe.model.model_name_or_path,
        reward_funcs=trained,
        reward_processing_classes=reward_tokenizers(trained, data.rows),
        reward_rules=rules,
        args=build_config(recipe),
        train_dataset=as_dataset(data.rows),
        eval_dataset=eval_dataset(data.eval_rows),
        peft_config=peft_config(recipe),
        render_prompt=data.extra.render,
    )
