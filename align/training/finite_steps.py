"""Training ends where a loss, a gradient or a weight is no number, before it spoils a checkpoint."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from align.errors import RunFolderError
from align.models.finite import spoiled, stored_weights
from align.runs.checkpoints import whole_checkpoints
from align.training.resuming import highest

_GRADIENT, _LOSS, _WEIGHTS = 1, 2, 3
_WORDS = {_GRADIENT: "the gradient is", _LOSS: "the loss is", _WEIGHTS: "weights became"}


class FiniteSteps(TrainerCallback):
    """Ends a run on all processes before an update by what is no number, and before such weights are saved.

    transformers logs a mean of earlier losses in place of such a loss, 0.0 at the first step. A gradient that the
    scaler of fp16 finds too large is skipped there, and ends nothing.
    """

    def __init__(self, trainer: Any, folder: Path) -> None:
        self._trainer, self._folder, self._norm = trainer, folder, 0.0
        trainer.args.logging_nan_inf_filter = False
        trainer._get_grad_norm = partial(self._noted, trainer._get_grad_norm)

    def _noted(self, measure: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._norm = measure(*args, **kwargs)
        return self._norm

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Looks at the losses since the last log, which each process has of its own rows, and at the gradient."""
        is_scaled = self._norm is None or self._trainer.accelerator.mixed_precision == "fp16"
        wrong = _LOSS if _is_odd(self._trainer._tr_loss) else 0 if is_scaled or not _is_odd(self._norm) else _GRADIENT
        self._end_by(wrong, state.global_step + 1, args)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Looks at the weights that were trained, where they are to be saved."""
        if control.should_save or state.global_step >= state.max_steps:
            trained = (each for each in self._trainer.model.named_parameters() if each[1].requires_grad)
            self._end_by(_WEIGHTS if spoiled("", trained) else 0, state.global_step, args)

    on_epoch_end = on_step_end  # a pass may end with a save of its own

    def _end_by(self, wrong: int, step: int, args: Any) -> None:
        if not (wrong := highest(wrong, args)):
            return
        whole = whole_checkpoints(self._folder)
        good = next((each for each in whole if not spoiled("", stored_weights(str(each)))), None)
        again = f"`--resume {'auto' if good in whole[:1] else good}` tries once more from there. "
        kept = f"The last good checkpoint is {good}{'. ' if args.save_only_model else f': {again}'}" if good else ""
        raise RunFolderError(
            f"Step {step}: {_WORDS[wrong]} NaN or infinite, so training ends here. {kept}A lower learning rate may "
            f"not meet it: begin with another `--output_dir` and `--learning_rate {args.learning_rate / 10:g}`."
        )


def _is_odd(value: Any) -> bool:
    return not bool(torch.as_tensor(value).isfinite().all())
