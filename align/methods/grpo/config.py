"""Settings of GRPO."""

from dataclasses import dataclass

import trl

from align.recipe.saved_arguments import SavedWithoutSecrets


@dataclass
class GRPOConfig(SavedWithoutSecrets, trl.GRPOConfig):
    """TRL's `GRPOConfig`, which is saved without secrets."""
