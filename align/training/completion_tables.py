"""Tables of completions: those of evaluations stay out of those of training."""

import copy
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel

if TYPE_CHECKING:
    from trl import GRPOTrainer as Parent
else:
    Parent = object


class CompletionTables(Parent):
    """Keeps what an evaluation generates out of the tables of training, which TRL writes over or mixes with it."""

    model: PreTrainedModel

    @property
    def _logs(self) -> Any:
        """What is written about at the next log: in TRL's names, apart for training and evaluation."""
        return self._logs_of["train" if self.model.training else "eval"]

    @_logs.setter
    def _logs(self, logs: Any) -> None:
        self._logs_of = {"train": logs, "eval": copy.deepcopy(logs)}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs as TRL does; a table has one name for each step, so that of an evaluation is not written."""
        wanted = self.log_completions
        self.log_completions = wanted and self.model.training
        try:
            super().log(logs, start_time)
        finally:
            self.log_completions = wanted
