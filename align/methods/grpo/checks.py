"""What can be wrong with a recipe of GRPO: its prompts and rewards, and its tools."""

import inspect
from collections.abc import Sequence
from typing import Any

from align.checks.finding import Finding
from align.data.prompt_rows import PromptRow
from align.data.training_data import TrainingData
from align.methods.grpo.tools.checks import check_tools, sample_environment, uses_environment
from align.methods.rollouts import prompt_data
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward

COLUMN = "environments"  # what TRL calls the instances that it hands to rewards


def check(recipe: Recipe, data: TrainingData[PromptRow], rewards: Sequence[Reward]) -> list[Finding]:
    """Checks prompts, rewards and lengths as for every method that samples, and tries tools and environments."""
    tools = check_tools(recipe, data.rows)
    more: dict[str, Any] = {}
    if any(map(_reads_environments, rewards)) and not any(finding.level == "error" for finding in tools):
        more = {COLUMN: sample_environment(recipe, data.rows)}
    return prompt_data.check(recipe, data, rewards, is_rewarded=uses_environment(recipe), trial_columns=more) + tools


def _reads_environments(reward: Reward) -> bool:
    return not isinstance(reward, str) and COLUMN in inspect.signature(reward).parameters
