"""Checks DeepSpeed files: DeepSpeed ignores unknown top-level keys, and finds other mistakes only after minutes."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from align.errors import RecipeError
from align.recipe.rules import suggestion
from rewards.extras import missing

NUMBERS = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
# Top-level sections whose names DeepSpeed 0.19 does not keep among its runtime constants.
SECTIONS = (
    "activation_checkpointing",
    "aio",
    "amp",
    "autotuning",
    "comet",
    "comms_logger",
    "compile",
    "compression_training",
    "csv_monitor",
    "curriculum_learning",
    "data_efficiency",
    "datastates_ckpt",
    "elasticity",
    "expert_parallel",
    "flops_profiler",
    "hybrid_engine",
    "pipeline",
    "sequence_parallel_size",
    "tensor_parallel",
    "tensorboard",
    "timers",
    "wandb",
    "weight_quantization",
    "zero_optimization",
)


class LaunchPlan(NamedTuple):
    """What a launch file says about memory and processes."""

    zero_stage: int  # 0 without ZeRO
    num_processes: int | None  # of all machines; None in a DeepSpeed file, which does not say
    offload_optimizer: bool
    offload_param: bool
    fsdp: bool = False


def check_deepspeed_json(path: Path) -> LaunchPlan:
    """Checks a DeepSpeed file against the keys and models of the installed DeepSpeed.

    Raises:
        RecipeError: At the first key or value that is wrong, or if DeepSpeed is missing.
    """
    content = _load_json(path)
    known, models = _deepspeed_keys()
    for key, value in content.items():
        if key not in known:
            raise RecipeError(f"{path}: unknown key `{key}`.{suggestion(key, sorted(known))}")
        if key in models:
            _check_section(path, key, value, models[key])
        elif key in NUMBERS and not _is_number(value):
            raise RecipeError(f'{path}: `{key}` must be a number or "auto", got {value!r}. Write it without quotes.')
    if "zero_optimization" not in content:
        raise RecipeError(f'{path}: `zero_optimization` is missing; accelerate needs it. Add {{"stage": 2}} at least.')
    zero = content["zero_optimization"]
    offload = [_offloads(zero.get(f"offload_{what}")) for what in ("optimizer", "param")]
    return LaunchPlan(int(zero.get("stage", 0)), None, *offload)


def _is_number(value: Any) -> bool:
    return value == "auto" or (isinstance(value, int | float) and not isinstance(value, bool))


def _load_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"Cannot read {path} from {Path.cwd()}: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        raise RecipeError(f"{path}, line {error.lineno}: not valid JSON ({error.msg}).") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} must hold a JSON object, got {type(content).__name__}.")
    return content


def _deepspeed_keys() -> tuple[set[str], dict[str, type[BaseModel]]]:
    """Reads the top-level keys, and the pydantic models behind some, from the installed DeepSpeed."""
    if sentence := missing("deepspeed", "A DeepSpeed file"):
        raise RecipeError(sentence)
    from deepspeed.runtime import constants
    from deepspeed.runtime.precision_config import DeepSpeedBF16Config, DeepSpeedFP16Config
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    words = {value for name, value in vars(constants).items() if name.isupper() and isinstance(value, str)}
    models = {"zero_optimization": DeepSpeedZeroConfig, "bf16": DeepSpeedBF16Config, "fp16": DeepSpeedFP16Config}
    return words | set(SECTIONS), models


def _check_section(path: Path, key: str, value: Any, model: type[BaseModel]) -> None:
    if not isinstance(value, dict):
        raise RecipeError(f"{path}: `{key}` must be a block, got {value!r}.")
    try:
        model(**_without_auto(value))
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_problem(model, error, key)}") from error


def _without_auto(block: dict[str, Any]) -> dict[str, Any]:
    """Leaves out the values that transformers fills in."""
    return {k: _without_auto(v) if isinstance(v, dict) else v for k, v in block.items() if v != "auto"}


def _offloads(block: Any) -> bool:
    return isinstance(block, dict) and block.get("device", "none") != "none"


def first_problem(model: type[BaseModel], error: ValidationError, prefix: str = "") -> str:
    """Words the first problem that pydantic found, with the nearest key for an unknown one."""
    problem = error.errors()[0]
    places = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        known = _fields(model, places[:-1])
        return f"unknown key `{'.'.join(filter(None, (prefix, *places)))}`.{suggestion(places[-1], known)}"
    fields = [place for place in places if place.isidentifier() and place.islower()]
    name = ".".join(filter(None, (prefix, *fields)))
    if problem["type"] == "missing":
        return f"`{name}` is missing. Add it."
    quoted = ' YAML reads a bare no as false: write "no".' if name == "mixed_precision" else ""
    return f"`{name}`: {problem['msg'][0].lower()}{problem['msg'][1:]}; got {problem['input']!r}.{quoted}"


def _fields(model: type[BaseModel], places: list[str]) -> list[str]:
    for place in places:
        annotation: Any = model.model_fields[place].annotation
        inner = [part for part in (annotation, *getattr(annotation, "__args__", ())) if isinstance(part, type)]
        model = next(part for part in inner if issubclass(part, BaseModel))
    return list(model.model_fields)
