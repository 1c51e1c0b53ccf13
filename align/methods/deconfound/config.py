"""Settings of a reward model on corrected outcomes."""

from dataclasses import dataclass, field

from transformers import TrainingArguments

from align.methods.deconfound.dataset import RULES
from align.recipe.rules import check_numbers, check_range
from align.recipe.saved_arguments import SavedWithoutSecrets


@dataclass
class DeconfoundConfig(SavedWithoutSecrets, TrainingArguments):
    """Settings of `DeconfoundTrainer`; everything else is transformers' `TrainingArguments`.

    The correction itself is a matter of the data, and its settings are in the `dataset` block of a recipe.
    """

    max_length: int | None = field(
        default=1024,
        metadata={"help": "Longest prompt and text in tokens; longer rows are left out and counted. None for all."},
    )

    def __post_init__(self) -> None:
        """Checks the own settings."""
        check_numbers(self, RULES.ranges)
        check_range("deconfound", "max_length", self.max_length)
        super().__post_init__()
