"""ACRE with consistency beside it, which the second pass does not know."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from align.data.training_data import TrainingData
from align.experimental.canary.trainer import CanaryACREConfig, CanaryACRETrainer, CanaryTextACRETrainer
from align.experimental.consistency.answers import ConsistentAnswers
from align.experimental.consistency.config import ConsistencyConfig
from align.experimental.consistency.prompts import KNOWN, other_prompt, other_wording
from align.experimental.consistency.rules import check_acre, families_of, with_families
from align.methods.acre import build as acre
from align.methods.acre.second_pass import SecondPassTrainer
from align.recipe.recipe import Recipe
from align.training.reward_build import Rewards
from rewards.scoring.families import Family


@dataclass
class ConsistentACREConfig(ConsistencyConfig, CanaryACREConfig):
    """`ACREConfig` with the settings of consistency."""

    _check = staticmethod(check_acre)


class ConsistentACRETrainer(CanaryACRETrainer, ConsistentAnswers):
    """`ACRETrainer` with `ConsistentAnswers`: a question in other words, whose options keep their letters."""

    known_families = KNOWN

    def _other_prompt(self, families: list[Family], row: Mapping[str, Any], rng: random.Random) -> Any:
        return other_wording(families, row, rng, self.render_prompt)


class ConsistentTextACRETrainer(CanaryTextACRETrainer, ConsistentAnswers):
    """`TextACRETrainer` with `ConsistentAnswers`."""

    def _other_prompt(self, families: list[Family], row: Mapping[str, Any], rng: random.Random) -> Any:
        return other_prompt(families, row, rng, self.args.gold_column)


def build(recipe: Recipe, data: TrainingData[Any], rewards: Rewards) -> SecondPassTrainer:
    """Builds it as ACRE is built."""
    recipe = with_families(recipe, families_of(recipe.settings))
    return acre.build(recipe, data, rewards, ConsistentACRETrainer, ConsistentTextACRETrainer)
