"""A reference that follows the policy (`sync_ref_model`), which checkpoints of TRL leave out."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import TrainerCallback

from align.console import say
from align.runs.checkpoints import REFERENCE


class MovingReference(TrainerCallback):
    """Writes the reference into each checkpoint, and goes on with it: a start has the model of the recipe there.

    Where a checkpoint is from before it was kept, a run that goes on says so.

    Args:
        trainer: Of TRL, with a `ref_model` that follows.
        folder: The run folder.
        checkpoint: What the run goes on from, None for its beginning.
        sharding: `zero1` to `zero3`, `fsdp` or `none`.
        is_shared: Whether all hosts see the main process's folder.
    """

    def __init__(self, trainer: Any, folder: Path, checkpoint: Path | None, sharding: str, is_shared: bool) -> None:
        self._trainer, self._folder, self._checkpoint = trainer, folder, checkpoint
        self._sharding, self._is_shared = sharding, is_shared

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Reads the reference of the checkpoint."""
        if self._checkpoint is None:
            return
        file = self._checkpoint / REFERENCE
        if not all(gather_object([file.is_file()])):
            if state.is_world_process_zero:
                say(
                    f"{self._checkpoint} does not hold the reference that followed the policy (`sync_ref_model`), so "
                    "the run goes on with the one of its start, and ends elsewhere than it would have."
                )
        else:
            saved = load_file(file)
            for name, weight in self._weights():
                with self._whole([weight]), torch.no_grad():
                    weight.copy_(_sharded_like(weight, saved[name]))
        # DeepSpeed 0.19 holds small weights whole after it has read a checkpoint, until TRL's callback assembles and
        # shards all: the order of weights that it notes in the step before would not be that of the step after.
        with self._whole(model.parameters()):
            pass

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Writes the reference as it is now."""
        writes = state.is_world_process_zero or (state.is_local_process_zero and not self._is_shared)
        kept = {}
        for name, weight in self._weights():
            with self._whole([weight]):
                value = weight.full_tensor() if isinstance(weight, DTensor) else weight
                if writes:
                    kept[name] = value.detach().cpu().contiguous().clone()
        if not writes:
            return
        file = self._folder / f"checkpoint-{state.global_step}" / REFERENCE
        file.parent.mkdir(exist_ok=True)
        save_file(kept, file)

    def _weights(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        found: Iterable[tuple[str, torch.nn.Parameter]]
        found = self._trainer.accelerator.unwrap_model(self._trainer.ref_model).named_parameters()
        return found

    def _whole(self, weights: Iterable[torch.nn.Parameter]) -> AbstractContextManager[Any]:
        """Assembles weights that ZeRO-3 shards, on all processes; what the main one changes of them stays."""
        if self._sharding != "zero3":
            return nullcontext()
        from deepspeed.runtime.zero import GatheredParameters

        whole: AbstractContextManager[Any] = GatheredParameters(list(weights), modifier_rank=0)
        return whole


def _sharded_like(weight: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Shards a value of the main process as FSDP2 shards a weight."""
    if not isinstance(weight, DTensor):
        return value
    return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements)
