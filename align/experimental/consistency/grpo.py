"""GRPO with consistency beside it."""

from dataclasses import dataclass

from align.data.prompt_rows import PromptRow
from align.data.training_data import TrainingData
from align.experimental.canary.trainer import CanaryGRPOConfig, CanaryGRPOTrainer
from align.experimental.consistency.answers import ConsistentAnswers
from align.experimental.consistency.config import ConsistencyConfig
from align.experimental.consistency.rules import check_grpo, with_families
from align.methods.grpo import build as grpo
from align.methods.grpo.trainer import GuardedGRPOTrainer
from align.recipe.recipe import Recipe
from align.training.reward_build import Rewards


@dataclass
class ConsistentGRPOConfig(ConsistencyConfig, CanaryGRPOConfig):
    """`GRPOConfig` with the settings of consistency."""

    _check = staticmethod(check_grpo)


class ConsistentGRPOTrainer(CanaryGRPOTrainer, ConsistentAnswers):
    """`GuardedGRPOTrainer` with `ConsistentAnswers`."""


def build(recipe: Recipe, data: TrainingData[PromptRow], rewards: Rewards) -> GuardedGRPOTrainer:
    """Builds it as GRPO is built."""
    return grpo.build(with_families(recipe), data, rewards, ConsistentGRPOTrainer)
