"""An early end that loses nothing: at SIGTERM, at Ctrl-C, or shortly before a time limit."""

import math
import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

import psutil
import torch
from transformers import TrainerCallback
from transformers.trainer_utils import SaveStrategy

_SHARE_TO_SPARE, _MOST_TO_SPARE = 0.05, 120.0  # of the limit, seconds: reports, engines that shut down
_SIGNALS = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}
_SAME = 1.0  # seconds: a launcher hands on what the terminal has sent to everyone


class EarlyEnd(TrainerCallback):
    """Saves and stops after the step in which SIGTERM or Ctrl-C came or time ran out, on all processes together.

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
        wish = _highest(self._signalled or int(self._is_late()), args)  # 1 is no signal that is taken over
        if not wish or state.global_step >= state.max_steps or state.global_step % self._every:
            return
        self.reason = _SIGNALS.get(signal.Signals(wish)) or f"the time limit of {self._seconds:.0f} s is near"
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
            text = f"{_SIGNALS[signal.Signals(number)]}: the run saves and stops after this step.{more}\n"
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


def _highest(value: int, args: Any) -> int:
    if args.world_size == 1:
        return value
    wish = torch.tensor(value, device=args.device)
    torch.distributed.all_reduce(wish, torch.distributed.ReduceOp.MAX)
    return int(wish)
