"""Settings of GRPO."""

from dataclasses import dataclass
from functools import partial

import trl

from align.methods.consistency.config import ConsistencyConfig
from align.methods.consistency.rules import check_consistency
from align.recipe.saved_arguments import SavedWithoutSecrets


@dataclass
class GRPOConfig(SavedWithoutSecrets, ConsistencyConfig, trl.GRPOConfig):
    """TRL's `GRPOConfig`, which is saved without secrets, with `ConsistencyConfig`."""

    def __post_init__(self) -> None:
        """Checks the settings of consistency.

        Raises:
            ValueError: If one cannot be used.
        """
        super().__post_init__()
        check_consistency(partial(getattr, self))
