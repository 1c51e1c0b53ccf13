"""Settings of SFT."""

from dataclasses import dataclass

import trl

from align.methods.sft.rules import check_together
from align.recipe.saved_arguments import SavedWithoutSecrets
from align.training.as_in_trl import take_new_names


@dataclass
class SFTConfig(SavedWithoutSecrets, trl.SFTConfig):
    """TRL's `SFTConfig`, saved without secrets."""

    def __post_init__(self) -> None:
        """Checks the settings that have no meaning together."""
        take_new_names(self)
        super().__post_init__()
        check_together(self)
