"""Settings of GRPO."""

from dataclasses import dataclass

import trl

from align.methods.grpo.rules import RULES
from align.methods.rollouts.config import SkipConfig, ToolConfig
from align.recipe.rules import check_numbers
from align.recipe.saved_arguments import SavedWithoutSecrets
from align.tools.named import specs_of
from align.training.as_in_trl import take_new_names


@dataclass
class GRPOConfig(SavedWithoutSecrets, SkipConfig, ToolConfig, trl.GRPOConfig):
    """TRL's `GRPOConfig`, saved without secrets, with `SkipConfig` and `ToolConfig`."""

    def __post_init__(self) -> None:
        """Checks the settings of tools."""
        check_numbers(self, RULES.ranges)
        take_new_names(self)
        super().__post_init__()
        specs_of(self)
