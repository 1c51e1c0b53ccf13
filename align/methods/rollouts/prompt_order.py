"""The order in which prompts are asked, which a run that goes on takes up in its second pass, too."""

from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.utils import RepeatSampler


class EarlierPasses(TrainerCallback):
    """Draws the orders of earlier passes again where a run goes on; a run from the start has TRL's orders.

    TRL's sampler draws an order for each pass from one generator, which no checkpoint keeps: a run that goes on in its
    third pass would begin with the order of the first, and leave out what that asked before.
    """

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Finds the pass in which a checkpoint was written; data loaders were made just before."""
        order = kwargs.get("train_dataloader")  # whose samplers stand inside each other; of a stream there is none
        while (inner := getattr(order, "batch_sampler", None) or getattr(order, "sampler", None)) is not None:
            order = inner
        if isinstance(order, RepeatSampler) and order.shuffle:
            for _ in range(int(state.epoch or 0)):
                torch.randperm(order.num_samples, generator=order.generator)
