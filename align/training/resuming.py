"""Checkpoints that are whole, an early end that loses nothing, and going on as if a run had never been stopped."""

import math
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import psutil
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import TrainerCallback
from transformers.trainer_utils import IntervalStrategy, SaveStrategy, rotate_checkpoints

from align.console import say
from align.runs.checkpoints import MANIFEST, REFERENCE, whole_checkpoints, write_manifest
from align.runs.disk_space import no_room, size_of
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
        losses = kept["loss"] if isinstance(kept["loss"], list) else [kept["loss"]]  # one number in older versions
        is_same = len(losses) == args.world_size  # else no process has the rows of one of those
        self._trainer._tr_loss += losses[args.process_index] if is_same else sum(losses) / len(losses)
        self._trainer._total_loss_scalar = kept["logged_loss"]
        self._trainer._initial_global_step = 0  # by whose distance transformers divides the sum from 5.19 on
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
        losses = self._trainer.accelerator.gather(self._trainer._tr_loss.detach()[None])  # each of its own rows
        logged, metrics = self._trainer._total_loss_scalar, getattr(self._trainer, "_metrics", {}).get("train", {})
        own, last = losses.tolist(), self._trainer._globalstep_last_logged
        if is_logged:
            own, last, logged, metrics = [0.0], state.global_step, logged + losses.mean().item(), {}
        kept = {"loss": own, "logged_loss": logged, "last_logged": last}
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
    """Writes the reference into each checkpoint, and goes on with it; a start has the model of the recipe there."""

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
                    value = saved[name]
                    if isinstance(weight, DTensor):  # FSDP2 shards it
                        value = distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements)
                    weight.copy_(value)
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

        return GatheredParameters(list(weights), modifier_rank=0)


_SPARE = 1.05  # of what the last checkpoint took: logs and tables are written beside it


class WholeCheckpoints(TrainerCallback):
    """Looks for room before a checkpoint is written, notes its files after, and only then deletes older ones.

    TRL and transformers delete older checkpoints as soon as they believe that a new one is there; a run that is killed
    in between would keep none. Here `save_total_limit` is taken from the trainer's config and kept after the note. The
    oldest is the one of the fewest steps: times of files follow a clock that is set back, and the order of a copy.
    """

    def __init__(self, trainer: Any, folder: Path, expected: int, sharding: str, is_shared: bool = True) -> None:
        self._folder, self._expected, self._sharding, self._is_shared = folder, expected, sharding, is_shared
        self._limit, trainer.args.save_total_limit = trainer.args.save_total_limit, None
        self._processes = trainer.args.world_size

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Saves, logs and evaluates as often as the recipe says now; transformers keeps to what a checkpoint says.

        It also forgets the best checkpoint of a run whose folder was moved, where it looks for one only when it saves,
        and keeps the score of one that is gone, which no later model may reach: the last would be taken for the best.
        """
        state.compute_steps(args, state.max_steps)
        best = self._folder / f"checkpoint-{state.best_global_step}"
        if state.best_global_step and best.is_dir():
            state.best_model_checkpoint = str(best)
        elif state.best_global_step and state.best_model_checkpoint is None and args.load_best_model_at_end:
            if state.is_world_process_zero:
                say(
                    f"The best checkpoint so far, {best.name}, is gone. The best is now looked for after step "
                    f"{state.global_step}."
                )
            state.best_metric = state.best_global_step = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stops the run in a sentence where the checkpoint that is due would not fit; older ones stay as they are."""
        if control.should_save and state.is_world_process_zero:
            free = shutil.disk_usage(self._folder).free
            needed = int(self._expected * _SPARE)
            if free < needed:
                whole = [path.name for path in whole_checkpoints(self._folder)]
                raise no_room(self._folder, needed, free, f"checkpoint-{state.global_step}", whole)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Looks for room for the checkpoint of a pass, as after a step."""
        self.on_step_end(args, state, control)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes the files when all processes have written theirs."""
        PartialState().wait_for_everyone()
        checkpoint = self._folder / f"checkpoint-{state.global_step}"
        is_main = state.is_world_process_zero
        if is_main or (state.is_local_process_zero and not self._is_shared):
            facts = {
                "step": state.global_step,
                "max_steps": state.max_steps,
                "epoch": float(state.epoch or 0.0),
                "processes": self._processes,
                "sharding": self._sharding,
                "resumable": not args.save_only_model,
            }
            name = MANIFEST if is_main else f"manifest-{PartialState().process_index}.json"
            write_manifest(checkpoint, facts, name)
        if is_main:
            self._expected = size_of(checkpoint)
            if self._limit is not None:
                rotate_checkpoints(
                    output_dir=str(self._folder),
                    save_total_limit=self._limit,
                    best_model_checkpoint=state.best_model_checkpoint,
                )
        PartialState().wait_for_everyone()


_SHARE_TO_SPARE, _MOST_TO_SPARE = 0.05, 120.0  # of the limit, seconds: reports, engines that shut down
_SIGNALS: dict[int, str] = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C", signal.SIGHUP: "SIGHUP"}
_SAME = 1.0  # seconds: a launcher hands on what the terminal has sent to everyone


class EarlyEnd(TrainerCallback):
    """Saves and stops after the step in which SIGTERM, SIGHUP or Ctrl-C came or time ran out, on all processes.

    A second Ctrl-C raises `KeyboardInterrupt` at once. Time runs out when twice the longest step and twice the longest
    save or evaluation no longer fit before the limit, which counts from the start of this process. A run stops after a
    multiple of `every` steps, from which it can be gone on with exactly.
    """

    def __init__(self, seconds: float | None, every: int = 1) -> None:
        self.reason: str | None = None
        self._seconds, self._every = seconds, every
        # On the clock that nobody sets: the other one may be set back by hours on a machine that has just started.
        self._started = time.monotonic() - (time.time() - psutil.Process().create_time())
        self._signalled: int | None = None
        self._signalled_at = 0.0
        self._before: dict[int, Any] = {}
        self._step_began = self._save_began = time.monotonic()
        self._longest_step = self._longest_save = 0.0
        self._saves = False  # or evaluates, since the last step

    def __enter__(self) -> "EarlyEnd":
        """Takes the signals over; Ctrl-C stays ignored where it is, as in a shell's background."""
        if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
            taken = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._on_signal) for number in taken}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the signals back."""
        for number, before in self._before.items():
            signal.signal(number, before)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measures how long saving took, with what other callbacks did for it, and starts the clock of a step."""
        self._step_began = time.monotonic()
        if self._saves:
            self._longest_save = max(self._longest_save, self._step_began - self._save_began)
        self._saves = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Asks all processes whether one wants to stop."""
        self._longest_step = max(self._longest_step, time.monotonic() - self._step_began)
        self._save_began = time.monotonic()
        wish = highest(2 * (self._signalled or 0) + self._is_late(), args)
        if not wish or state.global_step >= state.max_steps or state.global_step % self._every:
            return
        self.reason = _SIGNALS.get(wish // 2) or f"the time limit of {self._seconds:.0f} s is near"
        control.should_save = control.should_training_stop = True
        if args.save_strategy == SaveStrategy.BEST:  # an evaluation of this step would decide otherwise
            args.save_strategy = SaveStrategy.STEPS

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leaves what is due at the end of a pass to the run that goes on."""
        if self.reason is not None:
            control.should_log = control.should_evaluate = control.should_save = False

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes that a save is to be measured, which callbacks behind this one go on with."""
        self._saves = True

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Counts an evaluation as part of a save: both come after a step that may be the last."""
        self.on_save(args, state, control)

    def _is_late(self) -> bool:
        if self._seconds is None:
            return False
        spare = min(_SHARE_TO_SPARE * self._seconds, _MOST_TO_SPARE)
        needed = 2 * self._longest_step * self._every + 2 * self._longest_save + spare
        return time.monotonic() - self._started + needed > self._seconds

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled is not None:
            if number == signal.SIGINT and time.monotonic() - self._signalled_at > _SAME:
                raise KeyboardInterrupt
            return
        self._signalled, self._signalled_at = number, time.monotonic()
        if os.environ.get("RANK", "0") == "0":
            more = " Once more ends it at once, without saving." if number == signal.SIGINT else ""
            # Not through `sys.stderr`, in whose writing the signal may have come.
            text = f"{_SIGNALS[number]}: the run saves and stops after this step.{more}\n"
            with suppress(OSError):  # a terminal that hangs up is gone
                os.write(2, text.encode())


def exact_every(args: Any) -> int:
    """Counts the steps after which nothing that was generated is left over, 1 for a trainer that generates nothing.

    What is left over is not in a checkpoint: a run that goes on in between draws new completions.
    """
    per_generation = getattr(args, "steps_per_generation", None)
    if per_generation is None:
        return 1
    together, accumulated = per_generation * args.num_iterations, args.gradient_accumulation_steps
    return int(together // math.gcd(together, accumulated))


def highest(value: int, args: Any) -> int:
    """Returns the highest value of all processes, which each of them is to ask for."""
    if args.world_size == 1:
        return value
    wish = torch.tensor(value, device=args.device)
    torch.distributed.all_reduce(wish, torch.distributed.ReduceOp.MAX)
    return int(wish)
