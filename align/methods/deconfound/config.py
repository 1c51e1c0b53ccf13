"""Settings of a reward model on corrected outcomes."""

from dataclasses import dataclass, field

from transformers import TrainingArguments

from align.methods.deconfound.dataset import RULES
from align.recipe.rules import check_choice, check_numbers, check_range
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
    head: str = field(
        default="trained",
        metadata={
            "help": "`trained`: all weights, by gradient. `ridge`: the model stays as it is and its score head is "
            "solved for, in one pass; takes seconds, and memory for one row of hidden states per text."
        },
    )

    def __post_init__(self) -> None:
        """Checks the own settings."""
        check_choice("deconfound", "head", self.head)
        check_numbers(self, RULES.ranges)
        check_range("deconfound", "max_length", self.max_length)
        super().__post_init__()
