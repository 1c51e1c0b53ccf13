"""Trains recipes one after the other in the processes of one launch; run by test_grpo_in_two_processes.py."""

import sys
from pathlib import Path

from accelerate import PartialState
from accelerate.state import AcceleratorState

from align.checks.launch import current_launch
from align.recipe.recipe import load_recipe
from align.runs.stages import Stage
from align.services.one_run import train_stage as train
from align.services.prepared import prepare

if __name__ == "__main__":
    for path in sys.argv[1:]:
        AcceleratorState._reset_state()
        recipe = load_recipe(Path(path))
        assert train(Stage(recipe, None), prepare(recipe, current_launch()), None, True)
    PartialState().destroy_process_group()
