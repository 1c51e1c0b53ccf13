from align.data.prompt_rows import PromptRow
from align.data.training_data import TrainingData
from align.methods.consistency.rules import name_families
from align.methods.grpo.trainer import GuardedGRPOTrainer
from align.models.vllm_engine import vllm_rollouts
from align.recipe.recipe import Recipe
from align.training.build import as_dataset, eval_dataset, peft_config, processing_class
from align.training.reward_build import Rewards, guard, reward_tokenizers
from align.training.settings import build_config


def build(recipe: Recipe, data: TrainingData[PromptRow], rewards: Rewards) -> GuardedGRPOTrainer:
    """Builds TRL's GRPO with guarded rewards; TRL loads the model and its tokenizer from the recipe's path."""
    config = build_config(recipe)
    name_families(recipe, config)
    trained, rules = guard(recipe, rewards)
    with vllm_rollouts(config):
        return GuardedGRPOTrainer(
            model=recipe.model.model_name_or_path,
            reward_funcs=trained,
            reward_processing_classes=reward_tokenizers(trained, data.rows),
            reward_rules=rules,
            args=config,
            train_dataset=as_dataset(data.rows),
            eval_dataset=eval_dataset(data.eval_rows),
            processing_class=processing_class(recipe, truncation_side="left", padding_side="left"),
            peft_config=peft_config(recipe),
        )
