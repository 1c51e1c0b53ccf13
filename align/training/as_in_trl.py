"""What our trainers do as TRL's, what a run mends in its libraries, and how it joins and leaves its processes."""

import inspect
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import is_peft_model, parse_flag_from_env
from datasets import IterableDataset
from torch import Tensor
from transformers import Trainer, TrainingArguments

from align.recipe.recipe import Recipe
from align.recipe.rules import check_choice, check_numbers
from align.recipe.saved_arguments import SavedWithoutSecrets


def with_args(
    init: Callable[..., None],
    trainer: Any,
    given: tuple[Any, ...],
    named: dict[str, Any],
    kind: type[TrainingArguments],
    *,
    takes_plain: bool = False,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Fills in `args`, a config with defaults whose folder is named after model and method, where there is none.

    `init`, the parent's, says where `args` stands; `takes_plain`, whether plain `TrainingArguments` become one, as
    there.
    """
    bound = inspect.signature(init).bind(trainer, *given, **named)
    config = bound.arguments.get("args")
    if config is None:
        model = bound.arguments.get("model")
        name = model if isinstance(model, str) else model.config.name_or_path  # type: ignore[union-attr]
        bound.arguments["args"] = kind(f"{name.split('/')[-1]}-{trainer._name}")
    elif takes_plain and type(config) is TrainingArguments:
        bound.arguments["args"] = kind(**config.to_dict() | {"hub_token": config.hub_token})  # which to_dict hides
    elif not isinstance(config, kind):
        wanted, got = kind.__name__, type(config).__name__
        if wanted == got:  # one of TRL's in place of ours
            wanted, got = f"{wanted} of {kind.__module__}", f"that of {type(config).__module__}"
        raise TypeError(f"`args` must be {'an' if wanted[0] in 'AEIORS' else 'a'} {wanted}, got {got}.")
    rows, args = bound.arguments.get("train_dataset"), bound.arguments["args"]
    if isinstance(rows, IterableDataset) and args.max_steps <= 0:  # said before a model is loaded
        raise ValueError("A streamed `train_dataset` has no length that epochs could be counted by. Set `max_steps`.")
    return bound.args[1:], bound.kwargs


class Preparation(NamedTuple):
    """What TRL reads of a trainer's settings while it tokenises and leaves out pairs, and nothing else.

    `Dataset.filter` names what it keeps after all that its function refers to, and TRL's refer to the settings. With
    all of them each new `output_dir`, seed or learning rate would prepare the rows again, and keep one more copy.
    """

    dataset_num_proc: int | None
    max_length: int | None
    truncation_mode: str | None

    @classmethod
    def of(cls, args: Any) -> Any:
        """Picks them out of a trainer's settings, in whose place they stand."""
        return cls(*(getattr(args, name, None) for name in cls._fields))


def gather_rows(accelerator: Accelerator, rows: Tensor, in_training: bool) -> Tensor:
    """Gathers `(B, ...)` of all processes, without the rows that fill the last batch of a pass up.

    transformers fetches all batches of a step before it computes the first, and accelerate takes the loader for ended
    as soon as the last is fetched: it would cut each of them.
    """
    if in_training and not accelerator.sync_gradients:  # not the last batch of its step
        return accelerator.gather(rows)
    return accelerator.gather_for_metrics(rows)


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
    """Begins a worker of a `DataLoader` that ignores SIGTERM, SIGHUP and Ctrl-C.

    Schedulers and terminals send them to all processes. Torch ends a worker then, and the run with an error in its
    next step, before its main process can save. A worker still ends when it is done, or when the run is gone.
    """

    def __init__(self, begin: Callable[[int], None] | None) -> None:
        self._begin = begin

    def __call__(self, number: int) -> None:
        """Begins worker `number`."""
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        if self._begin is not None:
            self._begin(number)


def keep_loading(trainer: Trainer) -> None:
    """Lets the workers of a trainer's loaders, if there are any, outlive signals."""

    def loader(make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        made = make(*args, **kwargs)
        base = getattr(made, "base_dataloader", made)  # accelerate's wraps torch's
        if base.num_workers and not isinstance(base.worker_init_fn, Undisturbed):
            base.worker_init_fn = Undisturbed(base.worker_init_fn)
        return made

    for name in ("get_train_dataloader", "get_eval_dataloader"):
        setattr(trainer, name, partial(loader, getattr(trainer, name)))


def restore_to_one_cpu() -> None:
    """Lets `torch.load` put what `cpu:0` is asked for on the CPU.

    transformers hands `map_location` the device of a process, and accelerate numbers CPUs (transformers 5.17 to 5.24,
    accelerate 1.15); there is one CPU as far as torch is concerned.
    """
    # After torch's own for the CPU, 10. It sorts what is registered: twice the same functions, not two others.
    torch.serialization.register_package(15, _no_tag, _restored)


def _no_tag(storage: Any) -> None:
    return None


def _restored(storage: Any, location: str) -> Any | None:
    return storage if location.startswith("cpu:") else None


class CheckedConfig(SavedWithoutSecrets):
    """A config of TRL made in Python, saved without secrets, whose classes may each name the `RULES` of its fields."""

    def __post_init__(self) -> None:
        """Checks each setting before TRL reads it, and what has no meaning together after."""
        rules = [vars(each)["RULES"] for each in type(self).__mro__ if "RULES" in vars(each)]
        for each in rules:
            for name, choices in each.choices.items():
                check_choice(None, name, getattr(self, name), choices)
            check_numbers(self, each.ranges)
        # transformers hands these on too, and warns of a default that is TRL's. One before has none of that name.
        for old, new in RENAMED.items():
            if getattr(self, new, False) is None:
                setattr(self, new, getattr(self, old))
        super().__post_init__()  # type: ignore[misc]  # that of TRL's config
        for check in filter(None, (each.together for each in rules)):
            check(self)


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


def join_process_group(recipe: Recipe) -> PartialState:
    """Joins the other processes as transformers would; whoever joins first decides, and it comes later.

    Without settings, NCCL's limit would be torch's 10 minutes in place of `ddp_timeout`, and of processes on CPUs each
    would take itself for the only one.
    """
    on_cpus = recipe.settings.use_cpu or not torch.accelerator.is_available()
    settings: dict[str, Any] = {"timeout": timedelta(seconds=recipe.settings.ddp_timeout)}
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() != "true":  # which has a choice of its own
        settings["backend"] = recipe.settings.ddp_backend
    return PartialState(cpu=bool(on_cpus or parse_flag_from_env("ACCELERATE_USE_CPU")), **settings)


def leave_process_group(uses_vllm: bool) -> None:
    """Leaves the other processes, after all the work: gloo's threads abort a process that exits with them.

    vLLM would look for its engines' groups, which are in ours, as Python exits.
    """
    if engines := sys.modules.get("vllm.distributed.parallel_state") if uses_vllm else None:
        engines.cleanup_dist_env_and_memory()
    PartialState().destroy_process_group()
