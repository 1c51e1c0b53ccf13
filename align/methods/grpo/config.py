"""Settings of GRPO."""

from dataclasses import dataclass, field

import trl

from align.methods.grpo.rules import RULES
from align.methods.grpo.tools.named import specs_of
from align.methods.rollouts.config import SkipConfig
from align.recipe.rules import check_numbers
from align.recipe.saved_arguments import SavedWithoutSecrets
from align.training.as_in_trl import take_new_names


@dataclass
class ToolConfig:
    """Settings of tools; without `tools` and `environment_factory`, the default, nothing differs."""

    tools: list[str] | None = field(
        default=None, metadata={"help": "Functions that the model may call, as ./file.py:name or package.module:name."}
    )
    environment_factory: dict[str, str] | str | None = field(
        default=None,
        metadata={
            "help": "Class of an environment, or a function that makes one, as ./file.py:name; its public methods are "
            "tools. A block of several has names, which the column `environment` of the data picks from."
        },
    )
    tool_timeout: float = field(
        default=30.0,
        metadata={
            "help": "Seconds for one call of a tool, or of `reset` or `get_reward`; a call that takes longer is ended "
            "with its process, and costs its completion the reward."
        },
    )
    tool_memory_gb: float | None = field(
        default=None,
        metadata={"help": "Address space, in GiB, of the process of the tools, or of an instance of an environment."},
    )


@dataclass
class GRPOConfig(SavedWithoutSecrets, SkipConfig, ToolConfig, trl.GRPOConfig):
    """TRL's `GRPOConfig`, saved without secrets, with `SkipConfig` and `ToolConfig`."""

    def __post_init__(self) -> None:
        """Checks the settings of tools."""
        check_numbers(self, RULES.ranges)
        take_new_names(self)
        super().__post_init__()
        specs_of(self)
