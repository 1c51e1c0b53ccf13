"""Trains where one rank of two alone meets what is no number; run by test_two_processes.py."""

import math
import os
import shutil
from pathlib import Path

import torch
from accelerate import PartialState
from line_trainer import line_trainer
from safetensors.torch import load_file, save_file
from some_recipes import DEMONSTRATIONS
from transformers import TrainerCallback

from align.assets import find_recipe
from align.errors import UserError
from align.models.rewards import resolve_rewards
from align.recipe.recipe import load_recipe
from align.runs.checkpoints import write_manifest
from align.training.build import build_trainer
from align.training.finite_steps import FiniteSteps

FACTS = {"max_steps": 5, "epoch": 0.0, "processes": 2, "sharding": "none", "resumable": True}
STEP, RECIPE = 3, f"{DEMONSTRATIONS}/quickstart"


class Spoils(TrainerCallback):
    """Notes checkpoints as whole, and makes what this process holds of the weight NaN in the third update."""

    def __init__(self, trainer, does_spoil):
        self._trainer, self._does_spoil = trainer, does_spoil

    def on_optimizer_step(self, args, state, control, **kwargs):
        if self._does_spoil and state.global_step + 1 == STEP:
            weight = self._trainer.model.weight
            held = getattr(weight, "ds_tensor", weight).detach()
            (held.to_local() if hasattr(held, "to_local") else held).fill_(math.nan)

    def on_save(self, args, state, control, **kwargs):
        PartialState().wait_for_everyone()
        if PartialState().is_main_process:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_manifest(folder, FACTS | {"step": state.global_step})
        PartialState().wait_for_everyone()


def train_line(folder: Path, what: str, rank: int) -> None:
    """Trains a model of one weight, of which a rank of ZeRO-3 and FSDP2 has nothing, but what fills its part up."""
    row = {"x": torch.ones(1, 1), "labels": torch.ones(1, 1)}
    is_odd = what == "loss" and rank == 1
    rows = [row | ({"x": torch.full((1, 1), math.nan)} if is_odd and i + 1 == STEP else {}) for i in range(5)]
    trainer = line_trainer(folder / f"spoiled-{what}", save_steps=1, max_steps=5, disable_tqdm=True)
    trainer.get_train_dataloader = lambda: rows
    trainer.add_callback(FiniteSteps(trainer, Path(trainer.args.output_dir)))
    trainer.add_callback(Spoils(trainer, rank == {"first": 0, "second": 1}.get(what)))
    trainer.train()


def save_model(folder: Path) -> None:
    """Makes the model that `build` reads, of whose weights the last value of one is NaN."""
    model = load_recipe(find_recipe(RECIPE)).model.model_name_or_path
    shutil.copytree(model, folder / "nan")
    weights = load_file(folder / "nan" / "model.safetensors")
    weights["model.norm.weight"][-1] = math.nan
    save_file(weights, folder / "nan" / "model.safetensors", metadata={"format": "pt"})


def build(folder: Path) -> None:
    """Builds the trainer of a model whose NaN stands in the part of the second rank."""
    words = ["--use_cpu", "true", "--model_name_or_path", folder / "nan", "--output_dir", folder / "spoiled-model"]
    recipe = load_recipe(find_recipe(RECIPE), list(map(str, words)))
    build_trainer(recipe, recipe.record.part("load")(recipe), resolve_rewards(recipe))


def run(folder: Path, what: str) -> None:
    """Leaves in `folder/spoiled-WHAT` what each process said."""
    rank = int(os.environ["RANK"])
    try:
        build(folder) if what == "model" else train_line(folder, what, rank)
        said = ""
    except UserError as error:
        said = str(error)
    (folder / f"spoiled-{what}").mkdir(exist_ok=True)
    (folder / f"spoiled-{what}" / f"said-{rank}.txt").write_text(said)
