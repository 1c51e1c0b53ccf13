"""What a run mends in its libraries: types of adapters, loaders and signals, CPUs, and names."""

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from accelerate.utils import is_peft_model
from transformers import Trainer, TrainingArguments

# transformers 5.20; TRL 1.16 sets the first by default. Drop with TRL 1.17.
RENAMED = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}


def keep_adapter_dtype(trainer: Any) -> None:
    """Has an adapter read its checkpoints without a change of type.

    TRL trains adapters of quantized weights in bfloat16, and PEFT would make them float32 as it reads a checkpoint:
    the run would go on with other numbers than the one that was never stopped.
    """
    if is_peft_model(trainer.model):
        trainer.model.load_adapter = partial(trainer.model.load_adapter, autocast_adapter_dtype=False)


class Undisturbed:
    """Begins a worker of a `DataLoader` that ignores SIGTERM and Ctrl-C.

    Schedulers and terminals send them to all processes. Torch ends a worker then, and the run with an error in its
    next step, before its main process can save. A worker still ends when it is done, or when the run is gone.
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


def restore_to_one_cpu() -> None:
    """Lets `torch.load` put what `cpu:0` is asked for on the CPU.

    transformers hands `map_location` the device of a process, and accelerate numbers CPUs (transformers 5.17 to 5.24,
    accelerate 1.15); there is one CPU as far as torch is concerned.
    """
    torch.serialization.register_package(15, _no_tag, _restored)  # after torch's own for the CPU, 10


def _no_tag(storage: Any) -> None:
    return None


def _restored(storage: Any, location: str) -> Any | None:
    return storage if location.startswith("cpu:") else None


def take_new_names(config: TrainingArguments) -> None:
    """Hands settings on under their new names, as transformers does, which warns of a default that is TRL's."""
    for old, new in RENAMED.items():
        if getattr(config, new, False) is None:  # a transformers before has none of that name
            setattr(config, new, getattr(config, old))


def hide_old_names() -> None:
    """Hides deprecations of transformers >= 5.20 that TRL 1.16 causes and no user can mend; drop with TRL 1.17."""
    for name in ("gradient_checkpointing", "is_gradient_checkpointing", "past_key_values"):
        warnings.filterwarnings("ignore", message=rf"`{name}\w*` is deprecated", category=FutureWarning)


@contextmanager
def old_names_hidden() -> Iterator[None]:
    """Does so for a call of TRL's alone."""
    with warnings.catch_warnings():
        hide_old_names()
        yield
