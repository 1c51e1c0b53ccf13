"""A reference that follows the policy (`sync_ref_model`), which checkpoints of TRL leave out."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from align.console import say
from align.runs.checkpoints import REFERENCE

SHARDED = ("zero3", "fsdp")  # no process has the whole reference


class MovingReference(TrainerCallback):
    """Writes the reference into each checkpoint, and goes on with it: a start has the model of the recipe there.

    Where no process has all of it, and where a checkpoint is from before it was kept, a run that goes on says so.

    Args:
        trainer: Of TRL, with a `ref_model` that follows.
        folder: The run folder.
        checkpoint: What the run goes on from, None for its beginning.
        sharding: `zero1` to `zero3`, `fsdp` or `none`.
        is_shared: Whether all hosts see the main process's folder.
    """

    def __init__(self, trainer: Any, folder: Path, checkpoint: Path | None, sharding: str, is_shared: bool) -> None:
        self._trainer, self._folder, self._checkpoint = trainer, folder, checkpoint
        self._is_sharded, self._is_shared = sharding in SHARDED, is_shared

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Reads the reference of the checkpoint."""
        if self._checkpoint is None:
            return
        file = self._checkpoint / REFERENCE
        if self._is_sharded or not file.is_file():
            if state.is_world_process_zero:
                say(
                    f"{self._checkpoint} does not hold the reference that followed the policy (`sync_ref_model`), so "
                    "the run goes on with the one of its start, and ends elsewhere than it would have."
                )
            return
        weights = self._weights()
        with torch.no_grad():
            for name, saved in load_file(file).items():
                weights[name].copy_(saved)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Writes the reference as it is now."""
        if self._is_sharded or not (
            state.is_world_process_zero or (state.is_local_process_zero and not self._is_shared)
        ):
            return
        file = self._folder / f"checkpoint-{state.global_step}" / REFERENCE
        file.parent.mkdir(exist_ok=True)
        save_file({name: weight.detach().contiguous() for name, weight in self._weights().items()}, file)

    def _weights(self) -> dict[str, torch.nn.Parameter]:
        return dict(self._trainer.accelerator.unwrap_model(self._trainer.ref_model).named_parameters())
