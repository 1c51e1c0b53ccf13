"""Settings of GRPO."""

from dataclasses import dataclass

import trl

from align.methods.grpo.rules import RULES
from align.methods.rollouts.config import SkipConfig, ToolConfig
from align.training.as_in_trl import CheckedConfig


@dataclass
class GRPOConfig(CheckedConfig, SkipConfig, ToolConfig, trl.GRPOConfig):
    """TRL's `GRPOConfig`, saved without secrets, with `SkipConfig` and `ToolConfig`."""

    RULES = RULES
