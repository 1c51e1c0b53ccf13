"""Blocks of a recipe that go to a function of a library as they are: which keys it takes, and of which types."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from align.recipe.problems import first_problem, shown
from align.recipe.rules import check_range, rules_of, suggestion
from align.recipe.signatures import (
    Parameter,
    Source,
    class_fields,
    enum_members,
    functions_by_member,
    keys_read,
    parameters,
)

Known = Mapping[str, Parameter]
ARGUMENTS: Source = ("transformers", "training_args.py")
NAMES: Source = ("transformers", "trainer_utils.py")
SCHEDULES: Source = ("transformers", "optimization.py")
OPTIMIZERS: Source = ("transformers", "trainer_optimizer.py")
GENERATION: Source = ("transformers", "generation/configuration_utils.py")
FROM_FILES = ("accelerator_config", "fsdp_config", "deepspeed")  # may be the path of a JSON file


def check_blocks(method: str, settings: Any) -> None:
    """Checks every block against what takes it, and names every key that is unknown."""
    found = list(_blocks(settings))
    unknown = [words for name, block, known, taker in found for words in _unknown(name, block, known, taker)]
    if unknown:
        raise ValueError(" ".join(unknown))
    for name, block, known, taker in found:
        _check_block(method, name, block, known, taker)


def _blocks(settings: Any) -> Iterator[tuple[str, Mapping[str, Any], Known, str]]:
    """Yields the blocks whose keys are known: name, content, keys, and what takes them."""
    for name, known_keys in BLOCKS.items():
        value = getattr(settings, name, None)
        if value is None and name == "lr_scheduler_kwargs":
            value = {}  # a schedule may need some
        if value is None:
            continue
        block = _as_block(name, value)
        known, taker = known_keys(settings)
        if block is not None and known is not None:
            yield name, block, known, taker


def _as_block(name: str, value: Any) -> Mapping[str, Any] | None:
    """Returns a block; JSON in a text is read, and None stands for a file that is there."""
    if isinstance(value, Mapping):
        return value
    if name == "optim_args":
        return _optimizer_settings(value)
    try:
        content = json.loads(value) if str(value).startswith("{") else None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, Mapping):
        return content
    if name in FROM_FILES and _is_file(value):
        return None
    if name in FROM_FILES and str(value).endswith(".json"):
        raise ValueError(f"`{name}`: there is no file {shown(value)}, seen from where the command is run.")
    file = ", or the path of a JSON file" if name in FROM_FILES else ""
    raise ValueError(f"`{name}` must be a block of `key: value` lines{file}; got {shown(value)}.")


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # a name that no file can have
        return False


def _optimizer_settings(text: str) -> dict[str, str]:
    pairs = [pair.split("=") for pair in text.replace(" ", "").split(",")] if text else []
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise ValueError(f"`optim_args` must be written as `name=value,name=value`; got {shown(text)}.")
    return dict(pairs)


def _unknown(block: str, values: Mapping[str, Any], known: Known, taker: str) -> Iterator[str]:
    for name in values:
        if name not in known:
            few = f" It takes {', '.join(sorted(known)) or 'none'}." if len(known) <= 12 else ""
            yield f"Unknown key `{block}.{name}` for {taker}.{suggestion(str(name), known) or few}"


def _check_block(method: str, block: str, values: Mapping[str, Any], known: Known, taker: str) -> None:
    for name, value in values.items():
        _check_type(f"{block}.{name}", known[name].type, value)
        if block == "generation_kwargs":
            _check_generation(method, name, value)
    missing = [name for name, parameter in known.items() if parameter.needed and name not in values]
    if missing:
        raise ValueError(f"`{block}.{missing[0]}` is missing: {taker} needs it.")


def _check_generation(method: str, name: str, value: Any) -> None:
    label = f"generation_kwargs.{name}"
    if name == "stop_strings" and value is not None:
        raise ValueError(
            f"`{label}` needs the tokenizer, which TRL does not hand on. Set `eos_token_id` in the block."
        )
    if name not in rules_of(method).ranges:
        return
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"`{label}` must be a number; got {shown(value)}.")
    check_range(method, name, value, "generation_kwargs")


def _check_type(name: str, kind: Any, value: Any) -> None:
    try:
        TypeAdapter(kind).validate_python(value, strict=isinstance(value, bool))
    except PydanticSchemaGenerationError:
        return  # a type of the library's own
    except ValidationError as error:
        raise ValueError(first_problem(name, error)) from error


def _any(names: Iterable[str]) -> dict[str, Parameter]:
    return {name: Parameter(Any) for name in names}


def _without(known: Known, *names: str) -> dict[str, Parameter]:
    return {name: parameter for name, parameter in known.items() if name not in names}


def _of_schedule(settings: Any) -> tuple[Known, str]:
    name = settings.lr_scheduler_type
    taker = f"`lr_scheduler_type: {name}`"
    if name in ("constant", "constant_with_warmup"):  # `get_scheduler` hands them nothing
        return {}, taker
    if name == "reduce_lr_on_plateau":
        known = parameters(("torch", "optim/lr_scheduler.py"), "ReduceLROnPlateau.__init__")
    elif name == "greedy":
        known = parameters(SCHEDULES, "GreedyLR.__init__")
    else:
        functions = functions_by_member(SCHEDULES, "TYPE_TO_SCHEDULER_FUNCTION")
        known = parameters(SCHEDULES, functions[enum_members(NAMES, "SchedulerType")[name]])
    given = ("self", "optimizer", "num_warmup_steps", "num_training_steps", "last_epoch")
    return _without(known, *given), taker


def optimizer_function(optim: str | None) -> str:
    """Names the function of transformers that makes an optimizer; None stands for its default.

    Example:
        >>> optimizer_function("sgd")
        '_get_sgd'
    """
    member = enum_members(ARGUMENTS, "OptimizerNames").get(optim or "adamw_torch", "")
    return functions_by_member(OPTIMIZERS, "_OPTIMIZER_HANDLERS").get(member, "")


def _of_optimizer(settings: Any) -> tuple[Known | None, str]:
    name = settings.optim
    taker = f"`optim: {name}`" if name else "the default `optim`"
    function = optimizer_function(name)
    if not function or (name or "").startswith("rmsprop_bnb"):  # hands all of them on
        return None, taker
    return _any(keys_read(OPTIMIZERS, function, "optim_args")), taker


def _of_generation(settings: Any) -> tuple[Known | None, str]:
    if not settings.use_vllm:
        own = keys_read(GENERATION, "GenerationConfig.__init__", "kwargs")
        public = {name for name in own if not name.startswith("_")}
        return _any(public - {"disable_compile"}), "transformers' `GenerationConfig`"
    if find_spec("vllm") is None:
        return None, ""
    return class_fields(("vllm", "sampling_params.py"), "SamplingParams"), "vLLM's `SamplingParams`"


def _of_checkpointing(settings: Any) -> tuple[Known, str]:
    known = parameters(("torch", "utils/checkpoint.py"), "checkpoint")
    own = parameters(("transformers", "modeling_utils.py"), "PreTrainedModel.gradient_checkpointing_enable")
    every = _without(own, "self", "gradient_checkpointing_kwargs")
    return _without(known, "function", "context_fn") | every, "torch's `checkpoint`"


def _of_fsdp(settings: Any) -> tuple[Known, str]:
    if not settings.fsdp:
        raise ValueError("`fsdp_config` is read only with `fsdp: true`. Set it, or remove the block.")
    known = keys_read(ARGUMENTS, "TrainingArguments._process_fsdp_args", "fsdp_config")
    return _any(known | {f"fsdp_{name}" for name in known}), "`fsdp: true`"


BLOCKS: dict[str, Callable[[Any], tuple[Known | None, str]]] = {
    "lr_scheduler_kwargs": _of_schedule,
    "optim_args": _of_optimizer,
    "generation_kwargs": _of_generation,
    "gradient_checkpointing_kwargs": _of_checkpointing,
    "fsdp_config": _of_fsdp,
    "accelerator_config": lambda settings: (
        class_fields(("transformers", "trainer_pt_utils.py"), "AcceleratorConfig"),
        "accelerate's `AcceleratorConfig`",
    ),
    "transformers_continuous_batching_config": lambda settings: (
        class_fields(GENERATION, "ContinuousBatchingConfig"),
        "transformers' `ContinuousBatchingConfig`",
    ),
    "chat_template_kwargs": lambda settings: (None, ""),
    "model_init_kwargs": lambda settings: (None, ""),
    "dataset_kwargs": lambda settings: (None, ""),
    "deepspeed": lambda settings: (None, ""),
}
