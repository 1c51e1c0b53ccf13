"""Checkpoints that are there whole or not at all: room is looked for before, the manifest is written after."""

import shutil
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback
from transformers.trainer_utils import rotate_checkpoints

from align.console import say
from align.runs.checkpoints import MANIFEST, damage, list_checkpoints, write_manifest
from align.runs.room import no_room, size_of

_SPARE = 1.05  # of what the last checkpoint took: logs and tables are written beside it


class WholeCheckpoints(TrainerCallback):
    """Looks for room before a checkpoint is written, notes its files after, and only then deletes older ones.

    TRL and transformers delete older checkpoints as soon as they believe that a new one is there; a run that is killed
    in between would keep none. Here `save_total_limit` is taken from the trainer's config and kept after the note. The
    oldest is the one of the fewest steps: times of files follow a clock that is set back, and the order of a copy.
    """

    def __init__(self, trainer: Any, folder: Path, expected: int, sharding: str, is_shared: bool = True) -> None:
        self._folder, self._expected, self._sharding, self._is_shared = folder, expected, sharding, is_shared
        self._limit, trainer.args.save_total_limit = trainer.args.save_total_limit, None
        self._processes = trainer.args.world_size

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Saves, logs and evaluates as often as the recipe says now; transformers keeps to what a checkpoint says.

        It also forgets the best checkpoint of a run whose folder was moved, where it looks for one only when it saves,
        and keeps the score of one that is gone, which no later model may reach: the last would be taken for the best.
        """
        state.compute_steps(args, state.max_steps)
        best = self._folder / f"checkpoint-{state.best_global_step}"
        if state.best_global_step and best.is_dir():
            state.best_model_checkpoint = str(best)
        elif state.best_global_step and state.best_model_checkpoint is None and args.load_best_model_at_end:
            if state.is_world_process_zero:
                say(
                    f"The best checkpoint so far, {best.name}, is not there any more. The best is looked for among "
                    f"those behind step {state.global_step}."
                )
            state.best_metric = state.best_global_step = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stops the run in a sentence where the checkpoint that is due would not fit; older ones stay as they are."""
        if control.should_save and state.is_world_process_zero:
            free = shutil.disk_usage(self._folder).free
            needed = int(self._expected * _SPARE)
            if free < needed:
                whole = [path.name for path in list_checkpoints(self._folder) if damage(path, hashed=False) is None]
                raise no_room(self._folder, needed, free, f"checkpoint-{state.global_step}", whole)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Looks for room for the checkpoint of a pass, as after a step."""
        self.on_step_end(args, state, control)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes the files when all processes have written theirs."""
        PartialState().wait_for_everyone()
        checkpoint = self._folder / f"checkpoint-{state.global_step}"
        is_main = state.is_world_process_zero
        if is_main or (state.is_local_process_zero and not self._is_shared):
            facts = {
                "step": state.global_step,
                "max_steps": state.max_steps,
                "epoch": float(state.epoch or 0.0),
                "processes": self._processes,
                "sharding": self._sharding,
                "resumable": not args.save_only_model,
            }
            name = MANIFEST if is_main else f"manifest-{PartialState().process_index}.json"
            write_manifest(checkpoint, facts, name)
        if is_main:
            self._expected = size_of(checkpoint)
            if self._limit is not None:
                rotate_checkpoints(
                    output_dir=str(self._folder),
                    save_total_limit=self._limit,
                    best_model_checkpoint=state.best_model_checkpoint,
                )
        PartialState().wait_for_everyone()
