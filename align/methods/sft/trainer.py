"""SFT as TRL has it, whose count of tokens goes on where a checkpoint left it."""

from typing import Any

from trl import SFTTrainer

from align.data.training_data import TrainingData
from align.methods.sft.config import SFTConfig
from align.methods.sft.data import Demonstration
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.training.as_in_trl import with_args
from align.training.build import trainer_arguments
from align.training.model_card import Card, Rows
from align.training.resuming import TokenCount


class CountedSFTTrainer(SFTTrainer):
    """TRL's `SFTTrainer`; of a run that goes on `num_tokens` counts on, and nothing else differs."""

    _config: type[SFTConfig] = SFTConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        args, kwargs = with_args(SFTTrainer.__init__, self, args, kwargs, self._config, takes_plain=True)
        super().__init__(*args, **kwargs)
        self.add_callback(TokenCount(self))


def build(
    recipe: Recipe,
    data: TrainingData[Demonstration],
    rewards: list[Reward],
    trainer: type[CountedSFTTrainer] = CountedSFTTrainer,
) -> CountedSFTTrainer:
    """Builds SFT."""
    return trainer(**trainer_arguments(recipe, data))


NOT_SHOWN = "that the model keeps what it could do before, and that it is right where its demonstrations were not"
TITLE = "Training language models to follow instructions with human feedback"


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says how much was demonstrated."""
    return Card("sft", "SFT", "2203.02155", TITLE, NOT_SHOWN, {"demonstrations": len(rows)})
