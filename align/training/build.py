"""From a parsed recipe to a trainer."""

from collections.abc import Callable
from typing import Any

from datasets import Dataset, Image
from transformers import Trainer

import align  # its names of trainers and settings import them when they are used: a method costs the others nothing
from align.checks.rewards import Reward
from align.methods.acre.data import Loaded
from align.methods.deconfound.data import LoadedObservations
from align.methods.rollouts.data import LoadedPrompts
from align.methods.rrpo.data import LoadedPairs
from align.models.vllm_engine import cpu_rollouts
from align.recipe.recipe import Recipe
from align.training.guarded_rewards import RewardRules
from align.training.reward_tokenizer import reward_tokenizer
from align.training.settings import build_config, model_kwargs
from rewards.guard import GuardSettings, guard_rewards

Rewards = list[Reward]


def build_trainer(
    recipe: Recipe, data: Loaded | LoadedPairs | LoadedPrompts | LoadedObservations, rewards: Rewards
) -> Trainer:
    """Builds the trainer of a recipe's method from data and rewards that were checked before."""
    return BUILDERS[recipe.method](recipe, data, rewards)


def build_grpo(recipe: Recipe, data: LoadedPrompts, rewards: Rewards) -> "align.GuardedGRPOTrainer":
    """Builds TRL's GRPO with guarded rewards; TRL loads the model and its tokenizer from the recipe's path."""
    config = build_config(recipe)
    trained, rules = guard(recipe, rewards)
    with cpu_rollouts(config):
        return align.GuardedGRPOTrainer(
            model=recipe.model.model_name_or_path,
            reward_funcs=trained,
            reward_processing_classes=_reward_tokenizers(trained, data.rows),
            reward_rules=rules,
            args=config,
            train_dataset=_dataset(data.rows),
            eval_dataset=_dataset(data.eval_rows) if data.eval_rows else None,
            peft_config=_peft_config(recipe),
        )


def build_acre(recipe: Recipe, data: Loaded, rewards: Rewards) -> "align.ACRETrainer":
    """Builds ACRE; TRL loads the model and its tokenizer from the recipe's path."""
    config = build_config(recipe)
    trained, rules = guard(recipe, rewards)
    return align.ACRETrainer(
        model=recipe.model.model_name_or_path,
        reward_funcs=trained,
        reward_processing_classes=_reward_tokenizers(trained, data.rows),
        reward_rules=rules,
        args=config,
        train_dataset=_dataset(data.rows),
        eval_dataset=_dataset(data.eval_rows) if data.eval_rows else None,
        peft_config=_peft_config(recipe),
        render_prompt=data.template.render,
    )


def build_rrpo(recipe: Recipe, data: LoadedPairs, rewards: Rewards) -> "align.RRPOTrainer":
    """Builds RRPO; TRL loads the model, its reference and its tokenizer or processor from the recipe's path."""
    return align.RRPOTrainer(
        model=recipe.model.model_name_or_path,
        args=build_config(recipe),
        train_dataset=_dataset(data.rows),
        eval_dataset=_dataset(data.eval_rows) if data.eval_rows else None,
        peft_config=_peft_config(recipe),
    )


def build_crome(recipe: Recipe, data: LoadedPairs[Any], rewards: Rewards) -> "align.CromeTrainer":
    """Builds Crome; TRL loads the model, with a new scalar head, and its tokenizer from the recipe's path."""
    task_type = "CAUSAL_LM" if recipe.setting("model_type") == "pairwise" else "SEQ_CLS"
    return align.CromeTrainer(
        model=recipe.model.model_name_or_path,
        args=build_config(recipe),
        train_dataset=Dataset.from_list(data.rows),
        eval_dataset=Dataset.from_list(data.eval_rows) if data.eval_rows else None,
        peft_config=_peft_config(recipe, task_type),
    )


def build_deconfound(recipe: Recipe, data: LoadedObservations, rewards: Rewards) -> "align.DeconfoundTrainer":
    """Builds a reward model on corrected outcomes, with a new scalar head."""
    return align.DeconfoundTrainer(
        recipe.model.model_name_or_path,
        build_config(recipe),
        Dataset.from_list(data.rows),
        correction=data.correction,
        scale=data.scale,
        eval_dataset=Dataset.from_list(data.eval_rows) if data.eval_rows else None,
        peft_config=_peft_config(recipe, "SEQ_CLS"),
        model_kwargs=model_kwargs(recipe),
    )


BUILDERS: dict[str, Callable[[Recipe, Any, Rewards], Trainer]] = {
    "grpo": build_grpo,
    "acre": build_acre,
    "rrpo": build_rrpo,
    "crome": build_crome,
    "deconfound": build_deconfound,
}


def guard(recipe: Recipe, rewards: Rewards) -> tuple[Rewards, RewardRules]:
    """Guards the recipe's reward functions as its keys say; reward models stay TRL's.

    Returns:
        The rewards to train on, and the rules of the trainer, which hold the audits.
    """
    keys = recipe.rewards
    settings = GuardSettings(keys.reward_workers, keys.reward_timeout, keys.reward_memory_gb, keys.on_invalid)
    guarded = iter(guard_rewards([reward for reward in rewards if not isinstance(reward, str)], settings))
    all_rewards: list[Any] = [reward if isinstance(reward, str) else next(guarded) for reward in rewards]
    count = len(recipe.reward_funcs)
    rules = RewardRules(
        keys.composition(recipe.reward_funcs), all_rewards[count:], keys.on_invalid, keys.max_invalid_share
    )
    return all_rewards[:count], rules


def _reward_tokenizers(rewards: Rewards, rows: list[dict[str, Any]]) -> Any:
    """Loads the tokenizers of reward models; other rewards have None."""
    conversational = not isinstance(rows[0]["prompt"], str)
    return [
        reward_tokenizer(reward, conversational=conversational) if isinstance(reward, str) else None
        for reward in rewards
    ]


def _dataset(rows: list[dict[str, Any]]) -> Dataset:
    """Makes a data set whose images are decoded when they are read."""
    dataset = Dataset.from_list(rows)
    return dataset.cast_column("images", [Image()]) if "images" in dataset.column_names else dataset


def _peft_config(recipe: Recipe, task_type: str = "CAUSAL_LM") -> Any | None:
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
