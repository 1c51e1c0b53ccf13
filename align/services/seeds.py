"""`align train --seeds`: the same recipe with one seed after another, each a run of its own, and a page over all."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from align.assets import find_recipe
from align.console import say
from align.errors import UserError
from align.recipe.recipe import load_recipe
from align.report import build_comparison
from align.services.train import TO_BE_CONTINUED, read_seconds


def run_seeds(name: str, overrides: Sequence[str], count: int, time_limit: str | None, words: Sequence[str]) -> int:
    """Trains, or goes on with, each run in a process of its own; returns what the first that does not finish does."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "`--seeds` starts its runs itself, and `accelerate launch` starts processes of one run. Launch each with "
            "`--seed` and an `--output_dir` of its own, and lay them together with `align report DIR DIR`."
        )
    recipe = load_recipe(find_recipe(name), overrides)
    ends = time.monotonic() + read_seconds(time_limit, "--time_limit") if time_limit else None
    folders = {f"seed-{seed}": seed for seed in range(recipe.settings.seed, recipe.settings.seed + count)}
    for folder, seed in folders.items():
        own = ["--seed", str(seed), "--output_dir", str(recipe.folder / folder), "--resume", "auto", *words]
        if ends is not None:
            if (left := ends - time.monotonic()) < 1:
                say(f"The time is over before {folder}. The same command goes on.")
                return TO_BE_CONTINUED
            own += ["--time_limit", f"{left:.0f}s"]
        say(f"Training {folder} of {count} runs, in {recipe.folder / folder}.")
        code = subprocess.run([sys.executable, "-m", "align", "train", name, *overrides, *own], check=False).returncode
        if code:
            say(f"{folder} has not finished. The same command goes on, and leaves finished runs as they are.")
            return code
    page = build_comparison({each: recipe.folder / each for each in folders}, None, recipe.folder / "seeds.html")
    print(f"The page of all {count} runs is {page}.")
    return 0
