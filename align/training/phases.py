"""Where the time of a step goes, in trainers that generate what they learn from."""

import functools
import time
from collections import defaultdict
from typing import Any

from transformers import TrainerCallback

_TIMED = ("_generate", "_ask_again", "_calculate_rewards", "_generate_and_score_completions", "training_step")


class PhaseTimer(TrainerCallback):
    """Logs `time/<phase>`, seconds per optimizer step; what happens in a step stays as it is.

    Phases: `generate` (with the transfer of weights to vLLM), `second_pass` (ACRE), `rewards`, `log_probs` (of the
    sampler's policy and the reference, and of the canary), `update` (forward and backward), `rest` (optimizer, data,
    logs, checkpoints). They add up to the time between two steps; evaluation is part of `rest`. Trainers that generate
    nothing are left as they are.

    Args:
        trainer: Any trainer; a `GRPOTrainer` or a subclass is timed.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._seconds: dict[str, float] = defaultdict(float)
        self._last = time.perf_counter()
        self._generates = hasattr(trainer, "_calculate_rewards")
        for name in _TIMED if self._generates else ():
            if hasattr(trainer, name):
                setattr(trainer, name, self._timed(name, getattr(trainer, name)))

    def _timed(self, name: str, function: Any) -> Any:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                if self._trainer.model.training:
                    self._seconds[name] += time.perf_counter() - started

        return timed

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the clock."""
        self._last = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Hands the phases of the step to the trainer's metrics, which are averaged until they are logged."""
        if not self._generates:
            return
        now, spent = time.perf_counter(), self._seconds
        scored = spent["_generate_and_score_completions"]
        phases = {
            "generate": spent["_generate"],
            "rewards": spent["_calculate_rewards"] - spent["_ask_again"],
            "log_probs": scored - spent["_generate"] - spent["_calculate_rewards"],
            "update": spent["training_step"] - scored,
            "rest": now - self._last - spent["training_step"],
        }
        if hasattr(self._trainer, "_ask_again"):
            phases["second_pass"] = spent["_ask_again"]
        for phase, seconds in phases.items():
            self._trainer._metrics["train"][f"time/{phase}"].append(seconds)
        self._last, self._seconds = now, defaultdict(float)
