"""The count of tokens that trainers log, which goes on where a checkpoint left it."""

from typing import Any

from transformers import TrainerCallback


class TokenCount(TrainerCallback):
    """Keeps `num_tokens` of TRL's trainers in the state that a checkpoint holds, as `GRPOTrainer` does itself.

    Args:
        trainer: A `DPOTrainer`, `RewardTrainer` or `SFTTrainer`.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Goes on with the count of a checkpoint; a second training from the start counts on, as in TRL."""
        if _is_free(args) and state.global_step:
            self._trainer._total_train_tokens = state.num_input_tokens_seen

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes the count for the next checkpoint."""
        if _is_free(args):
            state.num_input_tokens_seen = self._trainer._total_train_tokens


def _is_free(args: Any) -> bool:
    return args.include_num_input_tokens_seen in (False, None, "no")  # else transformers counts in it
