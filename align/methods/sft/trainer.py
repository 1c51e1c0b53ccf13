"""SFT as TRL has it, whose count of tokens goes on where a checkpoint left it."""

from typing import Any

from datasets import Dataset
from trl import SFTTrainer

from align.data.demonstrations import Demonstration
from align.data.training_data import TrainingData
from align.methods.sft.config import SFTConfig
from align.models.videos import show_videos
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.training.as_in_trl import with_args
from align.training.build import trainer_arguments
from align.training.model_card import Card, Rows
from align.training.resuming import TokenCount
from align.training.row_sets import check_all_have_images, shares_weights

COLUMNS = ("messages", "prompt", "completion", "image", "images")  # that TRL's collator reads of a row with images


class CountedSFTTrainer(SFTTrainer):
    """TRL's `SFTTrainer`; of a run that goes on `num_tokens` counts on, and a row may be a video; no more differs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        args, kwargs = with_args(SFTTrainer.__init__, self, args, kwargs, SFTConfig, takes_plain=True)
        super().__init__(*args, **kwargs)
        self.add_callback(TokenCount(self))
        if show_videos(self, COLUMNS):
            for name, data in (("train", self.train_dataset), ("eval", self.eval_dataset)):
                if shares_weights(self) and isinstance(data, Dataset) and "images" in data.column_names:
                    check_all_have_images(data, name)


def build(recipe: Recipe, data: TrainingData[Demonstration], rewards: list[Reward]) -> CountedSFTTrainer:
    """Builds SFT."""
    return CountedSFTTrainer(**trainer_arguments(recipe, data))


NOT_SHOWN = "that the model keeps what it could do before, and that it is right where its demonstrations were not"
TITLE = "Training language models to follow instructions with human feedback"


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says how much was demonstrated."""
    return Card("sft", "SFT", "2203.02155", TITLE, NOT_SHOWN, {"demonstrations": len(rows)})
