"""What a run needs to go on as if it had never been stopped, and checkpoints of TRL and transformers leave out."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import TrainerCallback
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from align.console import say
from align.runs.checkpoints import REFERENCE
from align.runs.stages import lacks_evaluation

_KEPT = "unlogged"  # in the state of the trainer, which a checkpoint has


class Unlogged(TrainerCallback):
    """Lets a run that goes on log what one that was never stopped would, where a save lies between two logs.

    transformers forgets the losses since the last log, and of which steps they are; TRL forgets its metrics. The sum
    of all losses is forgotten, too, so that `train_loss` at the end would divide those of the last part by all steps.
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


class TokenCount(TrainerCallback):
    """Keeps `num_tokens` of TRL's trainers in the state that a checkpoint holds, as `GRPOTrainer` does itself."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Goes on with the count of a checkpoint; a second training from the start counts on, as in TRL."""
        if _is_free(args) and state.global_step:
            self._trainer._total_train_tokens = state.num_input_tokens_seen

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes the count for the next checkpoint."""
        if _is_free(args):
            state.num_input_tokens_seen = self._trainer._total_train_tokens


def _is_free(args: Any) -> bool:
    return args.include_num_input_tokens_seen in (False, None, "no")  # else transformers counts in it


class EndOfPass(TrainerCallback):
    """Logs and evaluates after the last step of a pass, where a run was ended between its save and that.

    transformers saves after the step, and then does what is due after a pass; a run that goes on begins with the next
    one. Scores of the best model, a scheduler that follows the evaluation, and random numbers go on from there, too.
    After the last step of all no other one is made.
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
        if lacks_evaluation(args, state.log_history, state.global_step, state.epoch):
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


class MovingReference(TrainerCallback):
    """Writes the reference into each checkpoint, and goes on with it: a start has the model of the recipe there.

    Where a checkpoint is from before it was kept, a run that goes on says so.
    """

    def __init__(self, trainer: Any, folder: Path, checkpoint: Path | None, sharding: str, is_shared: bool) -> None:
        self._trainer, self._folder, self._checkpoint = trainer, folder, checkpoint
        self._sharding, self._is_shared = sharding, is_shared

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Reads the reference of the checkpoint."""
        if self._checkpoint is None:
            return
        file = self._checkpoint / REFERENCE
        if not all(gather_object([file.is_file()])):
            if state.is_world_process_zero:
                say(
                    f"{self._checkpoint} does not hold the reference that followed the policy (`sync_ref_model`), so "
                    "the run goes on with the one of its start, and ends elsewhere than it would have."
                )
        else:
            saved = load_file(file)
            for name, weight in self._weights():
                with self._whole([weight]), torch.no_grad():
                    weight.copy_(_sharded_like(weight, saved[name]))
        # DeepSpeed 0.19 holds small weights whole after it has read a checkpoint, until TRL's callback assembles and
        # shards all: the order of weights that it notes in the step before would not be that of the step after.
        with self._whole(model.parameters()):
            pass

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Writes the reference as it is now."""
        writes = state.is_world_process_zero or (state.is_local_process_zero and not self._is_shared)
        kept = {}
        for name, weight in self._weights():
            with self._whole([weight]):
                value = weight.full_tensor() if isinstance(weight, DTensor) else weight
                if writes:
                    kept[name] = value.detach().cpu().contiguous().clone()
        if not writes:
            return
        file = self._folder / f"checkpoint-{state.global_step}" / REFERENCE
        file.parent.mkdir(exist_ok=True)
        save_file(kept, file)

    def _weights(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        found: Iterable[tuple[str, torch.nn.Parameter]]
        found = self._trainer.accelerator.unwrap_model(self._trainer.ref_model).named_parameters()
        return found

    def _whole(self, weights: Iterable[torch.nn.Parameter]) -> AbstractContextManager[Any]:
        """Assembles weights that ZeRO-3 shards, on all processes; what the main one changes of them stays."""
        if self._sharding != "zero3":
            return nullcontext()
        from deepspeed.runtime.zero import GatheredParameters

        whole: AbstractContextManager[Any] = GatheredParameters(list(weights), modifier_rank=0)
        return whole


def _sharded_like(weight: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Shards a value of the main process as FSDP2 shards a weight."""
    if not isinstance(weight, DTensor):
        return value
    return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements)
