"""The call of TRL 1.16, `GRPOTrainer._calculate_rewards`: keyword arguments, and one event loop for coroutines."""

import copy
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from rewards.reading.responses import Completion, completion_text
from rewards.running.event_loop import result_of
from rewards.running.protocol import is_async
from rewards.running.worker import end_if_copied

# TRL takes these out of the columns before it calls a reward.
NOT_COLUMNS = ("prompt", "completion", "completion_ids")


class Log(SimpleNamespace):
    """What a reward hands to `log_extra` and `log_metric`."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {}
        self.metrics: dict[str, list[Any]] = {}

    def log_extra(self, column: str, values: Sequence[Any]) -> None:
        """Collects a column as TRL does, one call after the other."""
        self.columns.setdefault(column, []).extend(values)

    def log_metric(self, name: str, value: float) -> None:
        """Collects a metric."""
        self.metrics.setdefault(name, []).append(value)


def call_arguments(
    rows: Sequence[Mapping[str, Any]], completions: Sequence[Completion], log: Log | None = None
) -> dict[str, Any]:
    """Builds the keyword arguments; the bytes of a completion stand in for its tokens."""
    log = log or Log()
    return {
        "prompts": [row.get("prompt") for row in rows],
        "completions": list(completions),
        "completion_ids": [list(completion_text(completion).encode("utf-8", "replace")) for completion in completions],
        **{key: [row[key] for row in rows] for key in rows[0] if key not in NOT_COLUMNS},
        "trainer_state": _trainer_state(),
        "log_extra": log.log_extra,
        "log_metric": log.log_metric,
    }


def copied(values: Any) -> Any:
    """Copies values in depth; by pickle, which is quicker than `copy.deepcopy`, where they allow it."""
    try:
        return pickle.loads(pickle.dumps(values))
    except Exception:  # whatever a value of the user's raises
        return copy.deepcopy(values)


def call_reward(func: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Calls a reward; a coroutine function runs in one loop of another thread for all calls, as in TRL.

    A forked copy of this process in which the call comes back, too, ends.
    """
    owner = os.getpid()
    try:
        return result_of(func(**arguments)) if is_async(func) else func(**arguments)
    finally:
        end_if_copied(owner)


def _trainer_state() -> SimpleNamespace:
    """The fields of `transformers.TrainerState` that a reward may read."""
    counts = {"global_step": 0, "max_steps": 100, "num_train_epochs": 1, "num_input_tokens_seen": 0, "total_flos": 0}
    steps = {"logging_steps": 10, "eval_steps": 500, "save_steps": 500, "train_batch_size": 8}
    best: dict[str, Any] = {"best_metric": None, "best_global_step": None, "best_model_checkpoint": None}
    ranks = {"is_local_process_zero": True, "is_world_process_zero": True}
    return SimpleNamespace(epoch=0.0, log_history=[], **counts, **steps, **best, **ranks)
