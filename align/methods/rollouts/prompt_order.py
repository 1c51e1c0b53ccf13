"""The order in which prompts are asked, which a run that goes on takes up in its second pass, too."""

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

if TYPE_CHECKING:
    from trl import GRPOTrainer as Parent
else:
    Parent = object


class PromptOrder(Parent):
    """Draws the orders of earlier passes again where a run goes on; a run from the start has TRL's orders.

    TRL's sampler draws an order for each pass from one generator, which no checkpoint keeps: a run that goes on in its
    third pass would begin with the order of the first, and leave out what that asked before.

    Args:
        *args: As in the parent.
        **kwargs: As in the parent.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._order: Any = None  # a RepeatSampler; of a stream there is none
        super().__init__(*args, **kwargs)
        self.add_callback(_EarlierPasses(self))

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        self._order = order = super()._get_train_sampler(dataset)
        return order

    def draw_orders(self, passes: int) -> None:
        """Draws the orders of so many passes, and asks nothing."""
        order = self._order
        for _ in range(passes if order is not None and order.shuffle else 0):
            torch.randperm(order.num_samples, generator=order.generator)


class _EarlierPasses(TrainerCallback):
    def __init__(self, trainer: PromptOrder) -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Finds the pass in which a checkpoint was written; data loaders were made just before."""
        self._trainer.draw_orders(int(state.epoch or 0))
