"""How `lab.py` trains an arm: the knobs by suffix, and early stopping on ties."""

import random
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PrinterCallback, TrainerCallback, set_seed

from align.methods.crome.config import CromeConfig
from align.methods.crome.trainer import CromeTrainer
from align.models.reward_model import RewardModel
from scripts.harness import ON_A_CPU
from scripts.labs.crome.pairs import Row

MODEL = Path(__file__).resolve().parents[3] / "recipes/crome/assets/lab/model"
COLUMNS = ("prompt", "chosen", "rejected", "tie", "source")
HELD_OUT_SHARE, LOOKS = 0.1, 28
SETTINGS: dict[str, Any] = {
    "max_steps": 700,
    "per_device_train_batch_size": 32,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.03,
    "max_length": None,
    "logging_strategy": "no",
} | ON_A_CPU
KNOBS: dict[str, dict[str, Any]] = {"+stop": {"stop_on_ties": True}}  # by the end of an arm's name


def split_arm(arm: str) -> tuple[str, dict[str, Any]]:
    """Splits the name of an arm into the kind of its pairs and the settings of its knob.

    Example:
        >>> split_arm("crome+stop"), split_arm("crome+filter")
        (('crome', {'stop_on_ties': True}), ('crome+filter', {}))
    """
    kind, plus, knob = arm.rpartition("+")
    return (kind, KNOBS[plus + knob]) if plus + knob in KNOBS else (arm, {})


class LeastTieMargin(TrainerCallback):
    """Keeps the weights at which held-out ties lie closest together, in mean margins of pairs with an order."""

    def __init__(self) -> None:
        self.least, self.step, self.weights = float("inf"), 0, {}

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, model: Any = None, **_: Any
    ) -> None:
        """Looks at one evaluation."""
        margin = metrics["eval_margin"]
        ratio = metrics["eval_crome/tie_margin"] / margin if margin > 0 else float("inf")
        if ratio < self.least:
            self.least, self.step = ratio, state.global_step
            self.weights = {name: weight.clone() for name, weight in model.state_dict().items()}


def hold_out(rows: list[Row], seed: int) -> tuple[list[Row], list[Row]]:
    """Splits off a share of the preference pairs and of the ties; without ties there is nothing to stop on."""
    own = [row for row in rows if row["tie"] or row["source"] == "preference"]
    chosen = {id(row) for row in random.Random(f"held out {seed}").sample(own, round(HELD_OUT_SHARE * len(own)))}
    return [row for row in rows if id(row) not in chosen], [row for row in rows if id(row) in chosen]


def as_dataset(rows: list[Row]) -> Dataset:
    """Makes a data set of the columns that a trainer reads."""
    return Dataset.from_list([{name: row[name] for name in COLUMNS if name in row} for row in rows])


def train(rows: list[Row], seed: int, overrides: dict[str, Any]) -> RewardModel:
    """Trains a reward model without leaving a run folder; `stopped_at` is the step whose weights were taken."""
    settings = SETTINGS | overrides
    stops = settings.pop("stop_on_ties", False)
    held_out: list[Row] = []
    if stops:
        rows, held_out = hold_out(rows, seed)
        each = max(1, settings["max_steps"] // LOOKS)
        settings |= {"eval_strategy": "steps", "eval_steps": each, "per_device_eval_batch_size": len(held_out)}
    set_seed(seed)  # also the head's
    model = AutoModelForSequenceClassification.from_pretrained(MODEL, num_labels=1, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    watch = LeastTieMargin()
    with tempfile.TemporaryDirectory() as folder:
        trainer = CromeTrainer(
            model,
            args=CromeConfig(
                output_dir=folder,
                seed=seed,
                share_prompts="off",
                **settings,  # the numbers of the tables to the digit
            ),
            train_dataset=as_dataset(rows),
            eval_dataset=as_dataset(held_out) if held_out else None,
            processing_class=tokenizer,
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    if stops:
        model.load_state_dict(watch.weights)
    found = RewardModel(model, tokenizer, batch_size=256)
    found.stopped_at = watch.step if stops else settings["max_steps"]  # type: ignore[attr-defined]
    return found
