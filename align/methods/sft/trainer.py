"""SFT as TRL has it, whose count of tokens goes on where a checkpoint left it."""

from typing import Any

from trl import SFTTrainer

from align.methods.sft.config import SFTConfig
from align.training.as_in_trl import with_args
from align.training.resuming import TokenCount


class CountedSFTTrainer(SFTTrainer):
    """TRL's `SFTTrainer`; of a run that goes on `num_tokens` counts on, and nothing else differs.

    Args:
        *args: As in `SFTTrainer`.
        **kwargs: As in `SFTTrainer`.
    """

    _config: type[SFTConfig] = SFTConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        args, kwargs = with_args(SFTTrainer.__init__, self, args, kwargs, self._config, takes_plain=True)
        super().__init__(*args, **kwargs)
        self.add_callback(TokenCount(self))
