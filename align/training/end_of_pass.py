"""What is due at the end of a pass, made up for by a run that goes on from a checkpoint of its last step."""

from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_utils import IntervalStrategy

from align.runs.evaluated import lacks_evaluation


class EndOfPass(TrainerCallback):
    """Logs and evaluates after the last step of a pass, where a run was ended between its save and that.

    transformers saves after the step, and then does what is due after a pass; a run that goes on begins with the next
    one. Scores of the best model, a scheduler that follows the evaluation, and random numbers go on from there, too.
    After the last step of all no other one is made.

    Args:
        trainer: Any trainer.
        checkpoint: What the run goes on from, None for its beginning.
    """

    def __init__(self, trainer: Any, checkpoint: Path | None) -> None:
        self._trainer, self._checkpoint = trainer, checkpoint

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Makes up for it, once callbacks before this one have taken up what the checkpoint holds."""
        trainer, is_end = self._trainer, state.global_step >= state.max_steps
        if self._checkpoint is None or not (is_end or float(state.epoch).is_integer()):
            return
        if args.logging_strategy == IntervalStrategy.EPOCH:
            control.should_log = True
            trainer._maybe_log_save_evaluate(trainer._tr_loss, None, None, None, state.epoch, None, None)
            control.should_log = False
        if lacks_evaluation(partial(getattr, args), state.log_history, state.global_step, state.epoch):
            trainer._load_rng_state(str(self._checkpoint))
            metrics = trainer._evaluate(None, None)
            if trainer._determine_best_metric(metrics, None):
                state.best_model_checkpoint = str(self._checkpoint)
            trainer._load_rng_state = _keep  # which would undo what the evaluation has drawn
        if is_end:
            control.should_training_stop = True
            trainer._run_epoch = _keep  # which looks at that after a step


def _keep(*args: Any, **kwargs: Any) -> None:
    """Leaves all as it is."""
