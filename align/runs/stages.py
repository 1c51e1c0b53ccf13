"""What of a recipe's run is still to be made, from a whole checkpoint or anew."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from align.errors import RunFolderError
from align.recipe.recipe import Recipe
from align.runs.checkpoints import Manifest, find_start
from align.runs.folder import FINISHED_FILE, check_same_run

LENGTH = ("max_steps", "num_train_epochs")
_ROUNDING = 1e-6  # of passes, which are counted in parts


class ToDo(StrEnum):
    """What is left of a run."""

    TRAINING = "training"
    END = "end"  # the last checkpoint holds the model after all steps and evaluations: model, card, report are missing
    NOTHING = "nothing"


class Stage(NamedTuple):
    """One run: its recipe, the checkpoint it goes on from, None for its beginning, and what is left of it."""

    recipe: Recipe
    checkpoint: Path | None
    todo: ToDo = ToDo.TRAINING
    passed_over: tuple[tuple[Path, str], ...] = ()
    manifest: Manifest | None = None  # of the checkpoint

    @property
    def folder(self) -> Path:
        """Where it goes."""
        return self.recipe.folder

    @property
    def step(self) -> int:
        """The steps that are made."""
        return self.manifest.step if self.manifest is not None else 0


def is_finished(recipe: Recipe) -> bool:
    """Says whether a run of this length was made to its end; refuses a folder that was run with another recipe."""
    saved = check_same_run(recipe.folder, recipe.resolved)
    return (recipe.folder / FINISHED_FILE).is_file() and _has_length(recipe, saved)


def _has_length(recipe: Recipe, saved: Mapping[str, Any] | None) -> bool:
    return saved is not None and all(saved.get(name) == recipe.resolved.get(name) for name in LENGTH)


def plan_stage(recipe: Recipe, resume: str | None) -> Stage:
    """Finds out where a run starts; a finished one is not made again."""
    if resume is not None and is_finished(recipe) and resume == "auto":
        return Stage(recipe, None, ToDo.NOTHING)
    start, todo = find_start(recipe.folder, resume), ToDo.TRAINING
    if start.checkpoint is not None and start.manifest is not None:
        saved = check_same_run(start.checkpoint.resolve().parent, recipe.resolved)  # which may be another run's
        is_at_end = _is_at_end(recipe, start.checkpoint, start.manifest, saved)
        if is_at_end:  # but for an evaluation that was due after the save of the last step
            state = json.loads((start.checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
            logs, steps, epoch = state.get("log_history", []), state["global_step"], state.get("epoch") or 0.0
            todo = ToDo.TRAINING if lacks_evaluation(recipe.settings, logs, steps, epoch) else ToDo.END
    return Stage(recipe, start.checkpoint, todo, start.passed_over, start.manifest)


def _is_at_end(recipe: Recipe, checkpoint: Path, manifest: Manifest, saved: Mapping[str, Any] | None) -> bool:
    """Says whether a checkpoint was written after the last step."""
    steps, passes = int(recipe.settings.max_steps), float(recipe.settings.num_train_epochs)
    if steps > 0:
        if manifest.step > steps:
            raise _too_far(checkpoint, f"{manifest.step} steps", f"max_steps: {steps}")
        return manifest.step == steps
    if manifest.epoch < passes - _ROUNDING:
        return False  # also where the new length is saved already, by a run that was killed before it saved a step
    if _has_length(recipe, saved):
        return manifest.step >= manifest.max_steps  # a part of a pass may end before its last step
    if manifest.epoch * (1 - 1 / manifest.step) >= passes - _ROUNDING:  # so was the step before
        raise _too_far(checkpoint, f"{manifest.epoch:g} passes", f"num_train_epochs: {passes:g}")
    return True


def _too_far(checkpoint: Path, made: str, asked: str) -> RunFolderError:
    return RunFolderError(
        f"{checkpoint} was written after {made}, and `{asked}` asks for fewer. Ask for more, or go on from an "
        "earlier checkpoint with `--resume PATH`."
    )


def lacks_evaluation(settings: Any, log: Sequence[Mapping[str, Any]], step: int, epoch: float) -> bool:
    """Says whether a pass that ended with a step is to be evaluated, and a log holds no evaluation of that step."""
    if settings.eval_strategy != "epoch" or settings.eval_delay > epoch:
        return False
    return not any(
        entry["step"] == step and any(name.startswith(("eval_", "probe/")) for name in entry) for entry in log
    )
