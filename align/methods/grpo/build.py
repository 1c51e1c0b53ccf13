import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from align.data.prompt_rows import PromptRow
from align.data.training_data import TrainingData
from align.methods.grpo.tools.guarded import Limits, guard_environment, guard_tools
from align.methods.grpo.tools.named import named_by
from align.methods.grpo.trainer import GuardedGRPOTrainer
from align.methods.rollouts.versions import rows_together
from align.recipe.recipe import Recipe
from align.training.build import as_dataset, eval_dataset, peft_config, processing_class
from align.training.reward_build import Rewards, guard, reward_tokenizers
from align.training.settings import build_config


def build(
    recipe: Recipe,
    data: TrainingData[PromptRow],
    rewards: Rewards,
    trainer: type[GuardedGRPOTrainer] | None = None,
) -> GuardedGRPOTrainer:
    """Builds TRL's GRPO with guarded rewards; TRL loads the model and its tokenizer from the recipe's path."""
    config = build_config(recipe)
    trained, rules = guard(recipe, rewards)
    with quiet_about_environments():
        return (trainer or GuardedGRPOTrainer)(
            model=recipe.model.model_name_or_path,
            reward_funcs=trained,
            reward_processing_classes=reward_tokenizers(trained, data.rows),
            reward_rules=rules,
            **rows_together(recipe),
            **_tools(recipe),
            args=config,
            train_dataset=as_dataset(data.rows),
            eval_dataset=eval_dataset(data.eval_rows),
            processing_class=processing_class(recipe, truncation_side="left", padding_side="left"),
            peft_config=peft_config(recipe),
        )


def _tools(recipe: Recipe) -> dict[str, Any]:
    """Guards the recipe's tools and environments, in the words of TRL."""
    tools, environments = named_by(recipe)
    limits = Limits(recipe.settings.tool_timeout, recipe.settings.tool_memory_gb)
    classes = {name: guard_environment(spec, limits) for name, spec in environments.items()}
    return {
        "tools": guard_tools(tools, limits) or None,
        "environment_factory": classes.get(None, classes or None),
    }


@contextmanager
def quiet_about_environments() -> Iterator[None]:
    """Hides the warning that environments are an experiment of TRL's: the page of recipes says so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are using 'environment_factory'")
        yield
