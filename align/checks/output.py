"""The output folder: whether it can be written to, whose it is, and room for what a run writes."""

import math
import os
from pathlib import Path

from align.checks.finding import Finding, Level
from align.checks.launch import Launch
from align.checks.memory import count_parameters, footprint_of
from align.recipe.recipe import Recipe
from align.runs.owner import holder_of
from align.runs.room import existing, free_bytes, no_room, words

_HALF = ("bfloat16", "float16")


def check_output(recipe: Recipe) -> list[Finding]:
    """Finds out whether each run can be written where the recipe says, before one owns the folder."""
    recipes = [recipe] if recipe.then is None else [recipe, recipe.then]
    wrong = [_wrong_with(each.folder) for each in recipes]
    return [Finding("error", "output", text) for text in wrong if text is not None]


def _wrong_with(folder: Path) -> str | None:
    try:
        above = existing(folder)
        holder = holder_of(folder)
    except OSError as error:
        return f"`output_dir` {folder} cannot be used: {error.strerror}."
    if folder.exists() and not folder.is_dir():
        return f"`output_dir` {folder} is a file. Choose a folder."
    if not above.is_dir() or not os.access(above, os.R_OK | os.W_OK | os.X_OK):
        return f"`output_dir` {folder}: nothing can be read and written in {above}."
    if holder is not None:
        return f"{folder} is in use by {holder}. Wait for its end, or choose another `output_dir`."
    return None


def check_room(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Compares what checkpoints and the model take with what is free."""
    folder = recipe.folder
    sizes = run_bytes(recipe, launch)
    try:
        free = free_bytes(folder)
    except OSError:
        return []  # `check_output` and the start of a run say what is wrong with the folder
    if sizes is None:
        return []
    model, checkpoint = sizes
    count = _checkpoints_at_once(recipe)
    known = 1 if count is None else count
    total = model + checkpoint * known
    many = "each of the" if count is None else count
    what = f"{many} checkpoint{'' if count == 1 else 's'} of about {words(checkpoint)}, and the model"
    what = what if known else "the model"
    numbers = {"free_bytes": free, "checkpoint_bytes": checkpoint, "model_bytes": model, "checkpoints": count}
    if free < total:
        level: Level = "error" if free < model + min(known, 1) * checkpoint else "warning"
        return [Finding(level, "room", str(no_room(folder, total, free, what)), numbers)]
    text = f"{words(free)} free for {what}."
    if count is None:
        text += " Their number is not known here; `save_total_limit` bounds it."
    return [Finding("ok", "room", text, numbers)]


def run_bytes(recipe: Recipe, launch: Launch) -> tuple[int, int] | None:
    """Estimates the bytes of the model and of a checkpoint with AdamW's two moments; None where no size is known."""
    footprint = footprint_of(recipe)
    found = count_parameters(recipe.model.model_name_or_path, with_head=footprint.has_lm_head)
    if found is None or not footprint.trains_weights:
        return None
    trained = found[0] * (0.02 if recipe.model.use_peft else 1.0)  # as in `check_memory`
    weight = 2 if str(recipe.model.dtype) in _HALF or (launch.zero_stage and recipe.settings.bf16 is not False) else 4
    moments = 12 if launch.zero_stage else 2 * weight  # DeepSpeed keeps both moments and a copy of the weights in fp32
    optimizer = 0 if recipe.settings.save_only_model else moments * trained
    return int(weight * trained), int(weight * trained + optimizer)


def _checkpoints_at_once(recipe: Recipe) -> int | None:
    """Counts the checkpoints that lie on the disk together: a new one is written before the oldest is deleted."""
    strategy = recipe.settings.save_strategy
    if strategy == "no":
        return 0
    steps, every = int(recipe.settings.max_steps), float(recipe.settings.save_steps)
    made = None
    if strategy == "steps" and steps > 0:
        every = every if every >= 1 else math.ceil(every * steps)  # as transformers rounds a share of the run
        made = math.ceil(steps / every)
    limit = recipe.settings.save_total_limit
    if limit is None:
        return made
    return int(limit) + 1 if made is None else min(made, int(limit) + 1)
