"""What `align train` says before its first step, which may be minutes away."""

import os
from pathlib import Path

from align.checks.machine.compiled import check_locks, has_compiled
from align.checks.memory import count_parameters
from align.console import say
from align.recipe.recipe import Recipe
from align.runs.progress import seconds_last_time


def say_checking(name: str) -> None:
    """Says what is done first."""
    say(f"Checking the data, rewards and settings of {name}.")


def say_loading(recipe: Recipe, folder: Path) -> None:
    """Says which model is loaded, how large it is, and how long it took last time in this folder."""
    model = recipe.model.model_name_or_path
    counted = count_parameters(model)
    size = f", {_size(counted[0])} parameters" if counted else ""
    seconds = seconds_last_time(folder)
    before = f" Last time the first step began after {seconds:.0f} s." if seconds is not None else ""
    say(f"Loading {model}{size}.{before}")
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false") == "true":
        for finding in check_locks():
            say(f"{finding.text} Remove it: {finding.fix}")
        if not has_compiled():
            say("DeepSpeed compiles its operators before the first step, once per machine: one to three minutes.")


def _size(parameters: int) -> str:
    """Writes a number of parameters as model names do.

    Example:
        >>> _size(134_515_008), _size(7_600_000_000), _size(98_000)
        ('135M', '7.6B', '0.098M')
    """
    return f"{parameters / 1e9:.3g}B" if parameters >= 1e9 else f"{parameters / 1e6:.3g}M"
