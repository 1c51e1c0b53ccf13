"""What our trainers do as TRL's: a config where none is given, rows that are prepared once, means over all rows."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from accelerate import Accelerator
from torch import Tensor
from transformers import TrainingArguments
from trl.trainer.utils import get_config_model_id

from align.training.streams import check_max_steps


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
        name = model if isinstance(model, str) else get_config_model_id(model.config)  # type: ignore[union-attr]
        bound.arguments["args"] = kind(f"{name.split('/')[-1]}-{trainer._name}")
    elif takes_plain and type(config) is TrainingArguments:
        bound.arguments["args"] = kind(**config.to_dict() | {"hub_token": config.hub_token})  # which to_dict hides
    elif not isinstance(config, kind):
        article = "an" if kind.__name__[0] in "AEIOR" else "a"
        raise TypeError(f"`args` must be {article} {kind.__name__}, got {type(config).__name__}.")
    elif _is_experimental(type(config)) and not any(map(_is_experimental, type(trainer).__mro__)):
        raise TypeError(
            f"`args` is a {type(config).__name__}, and {type(trainer).__name__} does not read its experimental "
            f"settings. Use the trainer of `{type(config).__module__}`, or the config of {trainer._name}."
        )
    check_max_steps(bound.arguments.get("train_dataset"), bound.arguments["args"])
    return bound.args[1:], bound.kwargs


def _is_experimental(kind: type) -> bool:
    return kind.__module__.startswith("align.experimental.")


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
