"""What `align train` and `align check` say of a run: where it starts, what is loaded, and how it goes on."""

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from align.checks.machine import check_locks, has_compiled
from align.console import say
from align.models.model_files import ModelFiles
from align.recipe.recipe import Recipe
from align.runs.progress import seconds_last_time
from align.runs.stages import Stage, ToDo

_LAUNCHED = {"LOCAL_RANK", "ACCELERATE_MIXED_PRECISION"}  # set by torchrun, and by accelerate for one process too


def start_words(stage: Stage, resume: str | None) -> Iterator[str]:
    """Words which checkpoint a command goes on from, and which it passes over."""
    for path, wrong in stage.passed_over:
        yield f"{path.name} is passed over: {wrong}."
    if stage.todo is ToDo.NOTHING:
        yield f"{stage.folder} holds a finished run; nothing is left to do."
    elif resume == "auto" and stage.checkpoint is None:
        yield f"There is no checkpoint in {stage.folder}: training starts at the beginning."
    elif stage.checkpoint is not None and stage.todo is ToDo.END:
        yield f"All steps of {stage.folder} are made; model, card and report are written from {stage.checkpoint.name}."
    elif stage.checkpoint is not None:
        yield f"{stage.folder} goes on from {stage.checkpoint.name}."


def say_loading(recipe: Recipe, folder: Path) -> None:
    """Says which model is loaded, how large it is, and how long it took last time in this folder."""
    model = ModelFiles.of(recipe)
    size = f", {_size(model.size.parameters)} parameters" if model.size else ""
    seconds = seconds_last_time(folder)
    before = f" Last time the first step began after {seconds:.0f} s." if seconds is not None else ""
    say(f"Loading {model.name}{size}.{before}")
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false") == "true":
        for finding in check_locks():
            say(f"{finding.text} Remove it: {finding.fix}")
        if not has_compiled():
            say("DeepSpeed compiles its operators before the first step, once per machine: one to three minutes.")


def _size(parameters: int) -> str:
    """Writes a number of parameters as model names do."""
    return f"{parameters / 1e9:.3g}B" if parameters >= 1e9 else f"{parameters / 1e6:.3g}M"


def how_to_go_on(words: Sequence[str]) -> str:
    """Writes the command that was given with `--resume auto`; a launcher's own words are not known.

    Example:
        >>> how_to_go_on(["/bin/align", "train", "my recipe.yaml", "--resume=run/checkpoint-4", "--max_steps", "9"])
        "It goes on with: align train 'my recipe.yaml' --max_steps 9 --resume auto"
    """
    given = list(words[1:])
    if given[:1] != ["train"] or _LAUNCHED & os.environ.keys():
        return "`--resume auto` goes on."
    if "--resume" in given:
        place = given.index("--resume")
        del given[place : place + 2]
    given = [word for word in given if not word.startswith("--resume=")]
    return f"It goes on with: {shlex.join(['align', *given, '--resume', 'auto'])}"
