"""One of two processes: the main one waits for the other, which does not come; run by test_process_group.py."""

import os
import sys
import time
from pathlib import Path

from some_recipes import PAIRS

from align.assets import find_recipe
from align.recipe.recipe import load_recipe
from align.training.as_in_trl import join_process_group


def main(done: Path) -> None:
    """Joins with a limit of three seconds; the other stays until the main one has written what it saw."""
    recipe = load_recipe(find_recipe(f"{PAIRS}/quickstart"), ["--use_cpu", "true", "--ddp_timeout", "3"])
    state = join_process_group(recipe)
    began = time.monotonic()
    if state.is_main_process:
        try:
            state.wait_for_everyone()
        except RuntimeError:
            print(state.num_processes, round(time.monotonic() - began), flush=True)
        done.touch()
    else:
        while not done.exists() and time.monotonic() - began < 15:
            time.sleep(0.1)
    os._exit(0)  # gloo's threads would wait


if __name__ == "__main__":
    main(Path(sys.argv[1]))
