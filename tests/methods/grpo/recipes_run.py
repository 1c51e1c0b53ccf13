"""Trains recipes one after the other in the processes of one launch; run by test_grpo_in_two_processes.py."""

import sys
from pathlib import Path

import zero_advantage_run
from accelerate import PartialState
from accelerate.state import AcceleratorState
from fsdp_on_cpus import shard_on_cpus

from align.checks.launch import current_launch
from align.recipe.recipe import load_recipe
from align.runs.stages import Stage
from align.services.one_run import train_stage as train
from align.services.prepared import prepare


def main(folder: Path, steps: int, *paths: str) -> None:
    """Trains recipes, and `folder/model` with and without what teaches nothing."""
    shard_on_cpus()
    for path in paths:
        AcceleratorState._reset_state()
        recipe = load_recipe(Path(path))
        assert train(Stage(recipe, None), prepare(recipe, current_launch()), None, True)
    zero_advantage_run.run(folder, steps)
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
