"""What a run has measured since its last log, kept in its checkpoints."""

from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_utils import SaveStrategy

_KEPT = "unlogged"  # in the state of the trainer, which a checkpoint has


class Unlogged(TrainerCallback):
    """Lets a run that goes on log what one that was never stopped would, where a save lies between two logs.

    transformers forgets the losses since the last log, and of which steps they are; TRL forgets its metrics. The sum
    of all losses is forgotten, too, so that `train_loss` at the end would divide those of the last part by all steps.

    Args:
        trainer: Whose numbers they are.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Takes up what the checkpoint holds."""
        kept = state.stateful_callbacks.get(_KEPT)
        if kept is None:  # a new run, or a checkpoint of an older version
            return
        self._trainer._tr_loss += kept["loss"]
        self._trainer._total_loss_scalar = kept["logged_loss"]
        self._trainer._globalstep_last_logged = kept["last_logged"]
        for name, values in kept["metrics"].items():
            self._trainer._metrics["train"][name].extend(values)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes what a save after this step has to keep; a log comes before it."""
        if control.should_save:
            self._note(args, state, is_logged=control.should_log)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Does the same after a pass."""
        self.on_step_end(args, state, control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Does the same where the evaluation decides about a save."""
        if args.save_strategy == SaveStrategy.BEST:
            self._note(args, state, is_logged=control.should_log)

    def _note(self, args: Any, state: Any, *, is_logged: bool) -> None:
        loss = self._trainer._tr_loss.detach().clone()
        if args.world_size > 1:  # each process has the losses of its own rows
            torch.distributed.all_reduce(loss)
            loss /= args.world_size
        logged, metrics = self._trainer._total_loss_scalar, getattr(self._trainer, "_metrics", {}).get("train", {})
        kept = {"loss": loss.item(), "logged_loss": logged, "last_logged": self._trainer._globalstep_last_logged}
        if is_logged:
            kept, metrics = {"loss": 0.0, "logged_loss": logged + loss.item(), "last_logged": state.global_step}, {}
        state.stateful_callbacks[_KEPT] = kept | {"metrics": {name: list(each) for name, each in metrics.items()}}
