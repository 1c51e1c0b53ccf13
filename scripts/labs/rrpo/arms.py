"""How the labs of RRPO train on pairs, until the policy is right often enough to be compared."""

import copy
import tempfile
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback

from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.trainer import RRPOTrainer
from scripts.harness import ON_A_CPU
from scripts.labs.rrpo.measure import Metrics


class PathCallback(TrainerCallback):
    """Measures before training and every few steps, and stops at the first point with enough P(correct)."""

    def __init__(self, meter: Any, every: int, target: float) -> None:
        self.meter, self.every, self.target = meter, every, target
        self.path: list[Metrics] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measures the policy before the first step."""
        self._add(kwargs["model"], state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measures if it is time."""
        if state.global_step % self.every == 0:
            self._add(kwargs["model"], state.global_step)
            control.should_training_stop |= self.path[-1]["p_correct"] >= self.target

    def _add(self, model: Any, step: int) -> None:
        self.path.append({"step": float(step)} | self.meter.measure(model))


def train_on_pairs(
    model: Any, rows: list[dict[str, Any]], processor: Any, callback: PathCallback, **settings: Any
) -> list[Metrics]:
    """Trains a model with settings of `RRPOConfig` until it is at the callback's target; returns its path."""
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"output_dir": folder, "lr_scheduler_type": "constant", "logging_strategy": "no"}
        quiet["share_prompts"] = "off"  # the numbers of the tables to the digit
        trainer = RRPOTrainer(
            model=model,
            ref_model=copy.deepcopy(model),
            args=RRPOConfig(**ON_A_CPU | quiet | settings),
            train_dataset=Dataset.from_list(rows),
            processing_class=processor,
            callbacks=[callback],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return callback.path
