"""GRPO as TRL has it, with guarded rewards and tools."""

import inspect
from collections.abc import Callable
from typing import Any

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from align.data.prompt_rows import PromptRow
from align.data.training_data import TrainingData
from align.methods.rollouts.asked_rows import (
    EarlierPasses,
    Row,
    RowsTogether,
    generate_with_images,
    score_with_videos,
)
from align.methods.rollouts.prompt_data import rows_together
from align.methods.rollouts.tool_rollouts import ToolRollouts, quiet_about_environments, tools_of
from align.methods.rollouts.zero_advantage import SkipZeroAdvantage
from align.models.transcripts.stopping import StoppedByEnvironments
from align.models.vllm_engine import vllm_rollouts
from align.recipe.recipe import Recipe
from align.tools.environments import Rubric, describe
from align.tools.guarded import Limits
from align.training.as_in_trl import with_args
from align.training.guarded_rewards import GuardedRewards, RewardRules, Rewards, rewarded_arguments
from align.training.model_card import Card, Rows
from rewards.running.guard import GuardSettings, guard_rewards


class GuardedGRPOTrainer(GuardedRewards, SkipZeroAdvantage, RowsTogether, ToolRollouts, GRPOTrainer):
    """TRL's `GRPOTrainer` whose rewards and tools are counted, timed and guarded.

    With `RewardRules()`, valid rewards, no tools and `skip_without_advantage: off` the losses are those of
    `GRPOTrainer`; with `auto` up to rounding, at a part of the cost (see `SkipZeroAdvantage`).
    Rollouts with vLLM work on CPUs, too.

    Args:
        *args: As in `GRPOTrainer`.
        reward_rules: Gates, limits and audits of the rewards; by default none.
        rows_together: Rows that rewards see in one call, as in `RowsTogether`.
        eval_rows_together: The same for evaluation.
        show_anew: Makes the row that is asked at a step, as in `RowsTogether`; by default the row itself.
        within_group: Whether it makes another one for each completion of a group.
        probe: Labelled rows that are asked beside training, as in `Probed`.
        **kwargs: As in `GRPOTrainer`.
    """

    def __init__(
        self,
        *args: Any,
        reward_rules: RewardRules | None = None,
        rows_together: int = 1,
        eval_rows_together: int = 1,
        show_anew: Callable[[Row, str], Row] | None = None,
        within_group: bool = False,
        probe: Dataset | None = None,
        **kwargs: Any,
    ) -> None:
        args, kwargs = with_args(GRPOTrainer.__init__, self, args, kwargs, GRPOConfig)
        given = inspect.signature(GRPOTrainer.__init__).bind(self, *args, **kwargs).arguments
        config = given["args"]
        for name in ("tools", "environment_factory"):
            if getattr(config, name, None) and not given.get(name):
                raise ValueError(
                    f"`{name}` of the config is what a recipe names, and the trainer takes the functions themselves; "
                    f"got {getattr(config, name)!r}. Give `{name}` to the trainer."
                )
        own: dict[str, Any] = {
            "rows_together": rows_together, "eval_rows_together": eval_rows_together, "show_anew": show_anew,
            "within_group": within_group, "probe": probe,
        }  # fmt: skip
        with vllm_rollouts(config):
            super().__init__(*args, reward_rules=reward_rules, **own, **kwargs)
        self.add_callback(EarlierPasses())

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        return score_with_videos(self, super()._generate_and_score_completions, inputs)

    def _generate(self, prompts: list[Any]) -> Any:
        return generate_with_images(self, super()._generate, prompts)


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what TRL's GRPO was trained towards."""
    return Card(
        "grpo",
        "GRPO",
        "2402.03300",
        "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models",
        "that what the rewards pay for is what was meant, and anything on prompts unlike those of the data",
    )


def build(recipe: Recipe, data: TrainingData[PromptRow], rewards: Rewards) -> GuardedGRPOTrainer:
    """Builds TRL's GRPO with guarded rewards."""
    given = rewarded_arguments(recipe, data, rewards)
    _add_rubric(recipe, given)
    tools = tools_of(recipe)
    kind = asking_environments(GuardedGRPOTrainer, tools["environment_factory"])
    with quiet_about_environments():
        return kind(**given, **rows_together(recipe), **tools)


def asking_environments(trainer: type[GuardedGRPOTrainer], environments: Any) -> type[GuardedGRPOTrainer]:
    """Makes of a trainer one whose rollouts end where `environments` say so; itself where they never do."""
    if not getattr(environments, "_guard_stops", False):
        return trainer
    return type(trainer.__name__, (StoppedByEnvironments, trainer), {})


def _add_rubric(recipe: Recipe, given: dict[str, Any]) -> None:
    """Adds the rewards of an environment of others behind those of the recipe, each with its weight."""
    named, settings = recipe.settings.environment, recipe.settings
    if named is None:
        return
    limits = Limits(settings.tool_timeout, settings.tool_memory_gb)
    rubric = Rubric(named, limits, max(1, recipe.rewards.reward_workers))
    own = guard_rewards(rubric.rewards(), GuardSettings(on_invalid=recipe.rewards.on_invalid))
    weights = given["args"].reward_weights or [1.0] * len(given["reward_funcs"])
    given["args"].reward_weights = [*weights, *(weight for _, weight in describe(named, limits).rewards)]
    given["reward_funcs"] = [*given["reward_funcs"], *own]
    given["reward_processing_classes"] = [*given["reward_processing_classes"], *([None] * len(own))]
