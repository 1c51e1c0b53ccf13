"""SFT as TRL has it, whose count of tokens goes on where a checkpoint left it."""

from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from align.data.demonstrations import Demonstration
from align.data.media.images import VIDEO
from align.data.training_data import TrainingData
from align.methods.sft.config import SFTConfig
from align.models.videos import for_collator, place_in_time, video_reading
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.training.as_in_trl import with_args
from align.training.build import trainer_arguments
from align.training.model_card import Card, Rows
from align.training.resuming import TokenCount
from align.training.row_sets import check_all_have_images, shares_weights


@dataclass
class ShownCollator(DataCollatorForVisionLanguageModeling):
    """TRL's collator of rows with images, for which the frames of a video are one where the model can read it."""

    def __post_init__(self) -> None:
        self.processor = video_reading(self.processor)

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates rows, those of videos with the column `video_metadata`."""
        return super().torch_call(for_collator(examples, self.processor))  # type: ignore[no-any-return]


class CountedSFTTrainer(SFTTrainer):
    """TRL's `SFTTrainer`; of a run that goes on `num_tokens` counts on, and a row may be a video; no more differs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        args, kwargs = with_args(SFTTrainer.__init__, self, args, kwargs, SFTConfig, takes_plain=True)
        super().__init__(*args, **kwargs)
        self.add_callback(TokenCount(self))
        if type(self.data_collator) is DataCollatorForVisionLanguageModeling:
            self._read_videos()

    def _read_videos(self) -> None:
        """Has the frames of a row with `video_metadata` read as one video where the model can."""
        self.data_collator = ShownCollator(**vars(self.data_collator))
        self._set_signature_columns_if_needed()
        columns: Any = self._signature_columns
        columns += [VIDEO]
        model: Any = self.model
        place_in_time(model)
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
