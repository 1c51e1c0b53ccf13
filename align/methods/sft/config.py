"""Settings of SFT."""

from dataclasses import dataclass

import trl

from align.methods.sft.rules import RULES
from align.training.as_in_trl import CheckedConfig


@dataclass
class SFTConfig(CheckedConfig, trl.SFTConfig):
    """TRL's `SFTConfig`, saved without secrets."""

    RULES = RULES
