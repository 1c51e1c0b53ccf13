"""The arms of `lab.py`: what each trains on questions or captions, and its measurements."""

import math
import random
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, Image
from transformers import AutoModelForImageTextToText, AutoProcessor, PrinterCallback

from align.assets import find_recipe
from align.data.questions.multiple_choice import load_questions
from align.methods.acre.config import ACREConfig
from align.methods.acre.data import load
from align.methods.acre.trainer import ACRETrainer
from align.models.rewards import resolve_rewards
from align.recipe.recipe import Recipe, load_recipe
from scripts.labs.acre.lab import EXPLORING, SameOrder, exploring
from scripts.labs.rrpo.arms import PathCallback, train_on_pairs
from scripts.labs.rrpo.measure import Metrics
from scripts.labs.vision.measure import CaptionMeter, measure_answers
from scripts.labs.vision.world import draw_pair, pair_row

GRPO = ["--reward_funcs", "[accuracy]", "--reward_kwargs", "{}", "--second_pass", "off"]
SHUFFLE = ["--dataset.shuffle_options", "true"]
ASSETS = find_recipe("acre/quickstart-vision").parent / "assets/vision"
WORLDS: dict[str, list[str]] = {  # overrides of the recipe
    "place": [],
    "notes": [
        *("--model_name_or_path", str(ASSETS / "model"), "--beta", "0.0"),
        *("--dataset.path", str(ASSETS / "noted/train.parquet")),
        *("--dataset.eval_path", str(ASSETS / "noted/eval.parquet")),
    ],
}
ANSWER_ARMS: dict[str, list[str] | None] = {
    "sft": None,
    "grpo": GRPO,
    "acre": [],
    "placebo": [],
    "grpo+shuffle": GRPO + SHUFFLE,
    "acre+shuffle": SHUFFLE,
    "blind": GRPO,
}
CAPTION_ARMS: dict[str, dict[str, Any]] = {"dpo": {"spans": "whole", "kl_coef": 0.0}, "rrpo": {}}
CAPTION_SETTINGS = {"beta": 0.1, "learning_rate": 1e-4, "kl_coef": 0.01}
TARGET = 0.7
NUM_PAIRS, PAIR_BATCH, MEASURE_EVERY, MAX_STEPS = 640, 32, 4, 40


def load_policy(recipe: Recipe, *, blind: bool = False) -> tuple[Any, Any]:
    """Loads the warm-started policy and its processor; a `blind` one gets the same from every image, and stays so."""
    path = recipe.model.model_name_or_path
    model = AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32)
    if blind:
        model.model.visual.requires_grad_(False)
        model.model.visual.merger.mlp[-1].weight.zero_()
    return model, AutoProcessor.from_pretrained(path)


def run_answers(arm: str, recipe_path: Path, overrides: list[str], seed: int) -> Metrics:
    """Trains one arm on questions with one seed, without leaving a run folder, and measures it."""
    words = ANSWER_ARMS[arm]
    recipe = load_recipe(recipe_path, [*overrides, *(words or []), "--seed", str(seed)])
    data = load(recipe)
    model, processor = load_policy(recipe, blind=arm == "blind")
    if words is not None:
        with tempfile.TemporaryDirectory() as folder:
            quiet = {"output_dir": folder, "save_strategy": "no", "log_completions": False, "disable_tqdm": True}
            quiet["skip_without_advantage"] = "off"  # TRL's numbers to the digit, and the entropy of all completions
            trainer = (SameOrder if arm == "placebo" else ACRETrainer)(
                model=model,
                reward_funcs=resolve_rewards(recipe),
                args=ACREConfig(**recipe.training | quiet),
                train_dataset=Dataset.from_list(data.rows).cast_column("images", [Image()]),
                processing_class=processor,
                render_prompt=data.extra.render,
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
    trained = dict.fromkeys(EXPLORING, math.nan)
    if words is not None:
        trained |= exploring(trainer)
    asked = load_questions(str(recipe.dataset.eval_path))[0]
    return measure_answers(model, processor, asked, data.extra) | trained


def run_captions(arm: str, recipe: Recipe, seed: int) -> list[Metrics]:
    """Trains one arm on pairs of captions with one seed until it is at the target; returns its path."""
    model, processor = load_policy(recipe)
    rng = random.Random(f"pairs {seed}")
    rows = [pair_row(draw_pair(rng)) for _ in range(NUM_PAIRS)]
    meter = CaptionMeter(model, processor, seed, whole=arm == "dpo")
    callback = PathCallback(meter, MEASURE_EVERY, TARGET)
    given = {"per_device_train_batch_size": PAIR_BATCH, "max_steps": MAX_STEPS, "max_length": None, "seed": seed}
    return train_on_pairs(model, rows, processor, callback, **given | CAPTION_SETTINGS | CAPTION_ARMS[arm])
