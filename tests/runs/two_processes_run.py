"""Trains recipes to their end and again from their first checkpoint, and with guarded rewards, in one launch."""

import shutil
import sys
from pathlib import Path

import guarded_run
import spoiled_run
from accelerate import PartialState
from accelerate.state import AcceleratorState
from fsdp_on_cpus import shard_on_cpus
from some_recipes import PAIRS
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from align.assets import find_recipe
from align.checks.launch import current_launch
from align.recipe.recipe import load_recipe
from align.runs.stages import Stage, plan_stage
from align.services.one_run import train_stage as train
from align.services.prepared import prepare

WORDS = [
    "--max_steps",
    "4",
    "--save_strategy",
    "steps",
    "--save_steps",
    "2",
    "--logging_steps",
    "3",
]  # saved between logs
WORDS += ["--eval_strategy", "no", "--per_device_train_batch_size", "8", "--use_cpu", "true"]
EVALUATED = ["--eval_strategy", "steps", "--eval_steps", "2"]
# What is trained, beside all weights on rows in memory. The stream begins anew in the second of the four steps.
VARIANTS = {
    "full": [],
    "lora": ["--use_peft", "true"],
    "synced": ["--sync_ref_model", "true", "--ref_model_sync_steps", "1", "--ref_model_mixup_alpha", "0.5"],
    "streamed": ["--dataset.streaming", "true", "--dataset.max_rows", "24"],
}


def run(name: str, variant: str, folder: Path) -> None:
    """Makes `folder/NAME-VARIANT-whole`, and `...-resumed` from its checkpoint after two steps."""
    whole, resumed = (folder / f"{name.replace('/', '-')}-{variant}-{end}" for end in ("whole", "resumed"))
    words = [*WORDS, *VARIANTS[variant]]
    if name.startswith(PAIRS):  # evaluation logs the tokens that training has seen
        words += EVALUATED
    for out in (whole, resumed):
        AcceleratorState._reset_state()
        recipe = load_recipe(find_recipe(name), [*words, "--output_dir", str(out)])
        checked = prepare(recipe, current_launch())
        if out == resumed and PartialState().is_main_process:
            shutil.copytree(whole, resumed)
            (resumed / "finished.json").unlink()
            shutil.rmtree(resumed / "checkpoint-4")
        PartialState().wait_for_everyone()
        stage = plan_stage(recipe, "auto") if out == resumed else Stage(recipe, None)
        assert stage.checkpoint == (resumed / "checkpoint-2" if out == resumed else None)
        assert train(stage, checked, None, True)
        PartialState().wait_for_everyone()


if __name__ == "__main__":
    shard_on_cpus()
    for case in sys.argv[2:]:
        AcceleratorState._reset_state()
        unset_hf_deepspeed_config()  # a case does not lean on the one before
        name, variant = case.split(":")
        if name == "guarded":
            guarded_run.run(Path(sys.argv[1]), variant)
        elif name == "spoiled":
            spoiled_run.run(Path(sys.argv[1]), variant)
        else:
            run(name, variant, Path(sys.argv[1]))
    PartialState().destroy_process_group()
