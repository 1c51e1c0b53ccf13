"""The runs of a recipe that are still to be made: one, or with `then` two, of which the first may be finished."""

import json
from pathlib import Path
from typing import NamedTuple

import yaml

from align.errors import RunFolderError
from align.recipe.recipe import Recipe
from align.training.folder import FINISHED_FILE, RECIPE_FILE, check_same_run, find_checkpoint

LENGTH = ("max_steps", "num_train_epochs")


class Stage(NamedTuple):
    """One run: its recipe, and the checkpoint it goes on from, None for its beginning."""

    recipe: Recipe
    checkpoint: Path | None

    @property
    def folder(self) -> Path:
        """Where it goes."""
        return Path(self.recipe.training["output_dir"])


def plan_stages(recipe: Recipe, resume: str | None) -> list[Stage]:
    """Lists the runs to make, in order.

    Args:
        recipe: What is to be run.
        resume: As in `find_checkpoint`; a finished first run is not made again.

    Raises:
        RunFolderError: If a folder holds another run, or a checkpoint that does not belong to what comes before it.
    """
    first, second = Path(recipe.training["output_dir"]), recipe.then
    if second is None:
        return [_stage(recipe, resume)]
    then = Path(second.training["output_dir"])
    if resume is None:
        return [_stage(recipe, None), _stage(second, None)]
    of_second = resume != "auto" and then.resolve() in Path(resume).resolve().parents
    if is_finished(recipe) and (resume == "auto" or of_second):
        check_same_run(first, recipe.resolved)
        return [_stage(second, resume)]
    if of_second or (then.is_dir() and any(then.iterdir())):
        raise RunFolderError(
            f"{then} was trained on a reward model in {first} that is not the one this recipe trains. Choose another "
            f"folder with `--then.output_dir {then}-2`, or run everything anew with another `--output_dir`."
        )
    return [_stage(recipe, resume), _stage(second, None)]


def is_finished(recipe: Recipe) -> bool:
    """Says whether a run of this length was made to its end."""
    folder = Path(recipe.training["output_dir"])
    if not (folder / FINISHED_FILE).is_file() or not (folder / RECIPE_FILE).is_file():
        return False
    saved = yaml.safe_load((folder / RECIPE_FILE).read_text(encoding="utf-8"))
    return all(saved.get(name) == recipe.resolved.get(name) for name in LENGTH)


def record_end(folder: Path, steps: int) -> None:
    """Notes that a run was made to its end and everything of it is written."""
    (folder / FINISHED_FILE).write_text(json.dumps({"steps": steps}) + "\n", encoding="utf-8")


def _stage(recipe: Recipe, resume: str | None) -> Stage:
    folder = Path(recipe.training["output_dir"])
    checkpoint = find_checkpoint(folder, resume)
    if resume is not None:
        check_same_run(folder, recipe.resolved)
    return Stage(recipe, checkpoint)
