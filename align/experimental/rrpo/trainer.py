"""DDPO (RLHF-V, arXiv 2312.00849), as its code computes it: a sum over tokens, without the paper's 1 / N.

The loss is DPO's with `gamma` times the log-ratio of each token that differs and once that of each that is shared.
"""

from dataclasses import dataclass

from torch import Tensor

from align.data.pairs.preferences import PreferencePair
from align.data.training_data import TrainingData
from align.experimental.rrpo.config import WeightedSpans, turned_on
from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.trainer import NOT_SHOWN, RRPOTrainer
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.training.build import trainer_arguments
from align.training.model_card import Card, Rows

TITLE = "RLHF-V: Towards Trustworthy MLLMs via Behavior Alignment from Fine-grained Correctional Human Feedback"


@dataclass
class DDPOConfig(WeightedSpans, RRPOConfig):
    """`RRPOConfig` with the weight of what differs."""


class DDPOTrainer(RRPOTrainer):
    """`RRPOTrainer` for which shared tokens count, too; with `ddpo_gamma: 0` nothing differs.

    What it logs under `rewards/` is, as in RRPO, of the tokens that differ, each counted once.
    """

    _config = DDPOConfig
    args: DDPOConfig

    def _pair_losses(self, logps: Tensor, ref_logps: Tensor, kl: Tensor, spans: Tensor) -> Tensor:
        if turned_on(self.args):
            spans = 1 + (self.args.ddpo_gamma - 1) * spans
        return super()._pair_losses(logps, ref_logps, kl, spans)


def build(recipe: Recipe, data: TrainingData[PreferencePair], rewards: list[Reward]) -> DDPOTrainer:
    """Builds it as RRPO is built."""
    return DDPOTrainer(**trainer_arguments(recipe, data))


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what it was trained towards."""
    return Card("ddpo", "DDPO", "2312.00849", TITLE, NOT_SHOWN)
