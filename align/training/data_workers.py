"""Processes that load batches, which outlive a signal to the whole run until its step is saved."""

import signal
from collections.abc import Callable
from typing import Any

from transformers import Trainer


class Undisturbed:
    """Begins a worker of a `DataLoader` that ignores SIGTERM and Ctrl-C.

    Schedulers and terminals send them to all processes. Torch ends a worker then, and the run with an error in its
    next step, before its main process can save. A worker still ends when it is done, or when the run is gone.

    Args:
        begin: What begins a worker beside that, such as its seeds.
    """

    def __init__(self, begin: Callable[[int], None] | None) -> None:
        self._begin = begin

    def __call__(self, number: int) -> None:
        """Begins worker `number`."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        if self._begin is not None:
            self._begin(number)


def keep_loading(trainer: Trainer) -> None:
    """Lets the workers of a trainer's loaders, if there are any, outlive signals."""
    for name in ("get_train_dataloader", "get_eval_dataloader"):
        setattr(trainer, name, _undisturbed(getattr(trainer, name)))


def _undisturbed(make: Callable[..., Any]) -> Callable[..., Any]:
    def loader(*args: Any, **kwargs: Any) -> Any:
        made = make(*args, **kwargs)
        base = getattr(made, "base_dataloader", made)  # accelerate's wraps torch's
        if base.num_workers and not isinstance(base.worker_init_fn, Undisturbed):
            base.worker_init_fn = Undisturbed(base.worker_init_fn)
        return made

    return loader
