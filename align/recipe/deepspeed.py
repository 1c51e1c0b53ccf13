"""Checks accelerate and DeepSpeed files before anything starts: a misspelt key is dropped there without a word."""

import ast
import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, Strict, StrictBool, ValidationError, create_model

from align.errors import RecipeError
from align.recipe.fields import Source, class_fields, enum_members, source_tree
from align.recipe.rules import suggestion
from align.recipe.yaml_loader import load_yaml
from rewards.extras import missing

NUMBERS = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
# Top-level sections whose names DeepSpeed 0.19 does not keep among its runtime constants.
SECTIONS = (
    "activation_checkpointing", "aio", "amp", "autotuning", "comet", "comms_logger", "compile", "compression_training",
    "csv_monitor", "curriculum_learning", "data_efficiency", "datastates_ckpt", "elasticity", "expert_parallel",
    "flops_profiler", "hybrid_engine", "pipeline", "sequence_parallel_size", "tensor_parallel", "tensorboard",
    "timers", "wandb", "weight_quantization", "zero_optimization",
)  # fmt: skip


class Launch(NamedTuple):
    """Processes and sharding."""

    num_processes: int = 1  # of all machines; a DeepSpeed file does not say
    zero_stage: int = 0  # 0 where DeepSpeed is not used
    offload_optimizer: bool = False
    offload_param: bool = False
    fsdp: bool = False
    by_launcher: bool = False  # which says to each process which one it is

    @property
    def sharding(self) -> str:
        """How optimizer, gradients and weights are split: `zero1` to `zero3`, `fsdp`, or `none`."""
        return f"zero{self.zero_stage}" if self.zero_stage else "fsdp" if self.fsdp else "none"


def check_deepspeed_json(path: Path) -> Launch:
    """Checks a DeepSpeed file against the keys and models of the installed DeepSpeed."""
    content = _load_json(path)
    known, models = _deepspeed_keys()
    for key, value in content.items():
        if key not in known:
            raise RecipeError(f"{path}: unknown key `{key}`.{suggestion(key, sorted(known))}")
        if key in models:
            if not isinstance(value, dict):
                raise RecipeError(f"{path}: `{key}` must be a block, got {value!r}.")
            try:
                models[key](**_without_auto(value))
            except ValidationError as error:
                raise RecipeError(f"{path}: {first_problem(models[key], error, key)}") from error
        elif key in NUMBERS and value != "auto" and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise RecipeError(f'{path}: `{key}` must be a number or "auto", got {value!r}. Write it without quotes.')
    if "zero_optimization" not in content:
        raise RecipeError(f'{path}: `zero_optimization` is missing; accelerate needs it. Add {{"stage": 2}} at least.')
    zero = content["zero_optimization"]
    blocks = [zero.get(f"offload_{what}") for what in ("optimizer", "param")]
    offload = [isinstance(block, dict) and block.get("device", "none") != "none" for block in blocks]
    return Launch(1, int(zero.get("stage", 0)), *offload)


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


def _without_auto(block: dict[str, Any]) -> dict[str, Any]:
    """Leaves out the values that transformers fills in."""
    return {k: _without_auto(v) if isinstance(v, dict) else v for k, v in block.items() if v != "auto"}


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


LAUNCHER: Source = ("accelerate", "commands/launch.py")
CONFIG: Source = ("accelerate", "commands/config/config_args.py")
Auto = Literal["auto"]
Device = Literal["none", "cpu", "nvme"]


class DeepSpeedBlock(BaseModel):
    """The `deepspeed_config` block of an accelerate file (accelerate 1.15)."""

    model_config = ConfigDict(extra="forbid")

    zero_stage: int | None = Field(default=None, ge=0, le=3, strict=True)
    deepspeed_config_file: str | None = None
    offload_optimizer_device: Device | None = None
    offload_param_device: Device | None = None
    offload_optimizer_nvme_path: str | None = None
    offload_param_nvme_path: str | None = None
    gradient_accumulation_steps: int | Auto | None = None
    gradient_clipping: float | Auto | None = None
    zero3_init_flag: StrictBool | None = None
    zero3_save_16bit_model: StrictBool | None = None
    deepspeed_hostfile: str | None = None
    deepspeed_exclusion_filter: str | None = None
    deepspeed_inclusion_filter: str | None = None
    deepspeed_multinode_launcher: (
        Literal["pdsh", "standard", "openmpi", "mvapich", "mpich", "nossh", "slurm"] | None
    ) = None
    deepspeed_moe_layer_cls_names: str | None = None


# Refused by accelerate beside a DeepSpeed file, which must say these things itself.
NOT_BESIDE_A_FILE = (
    "gradient_accumulation_steps", "gradient_clipping", "zero_stage", "offload_optimizer_device",
    "offload_param_device", "offload_optimizer_nvme_path", "offload_param_nvme_path", "zero3_save_16bit_model",
)  # fmt: skip


class LaunchFile(BaseModel):
    """What is looked at of an accelerate file; `launch_file` adds the other keys that accelerate takes."""

    model_config = ConfigDict(extra="forbid")

    compute_environment: Literal["LOCAL_MACHINE", "AMAZON_SAGEMAKER"] = "LOCAL_MACHINE"
    distributed_type: str
    mixed_precision: Literal["no", "fp16", "bf16", "fp8"] | None = None
    use_cpu: StrictBool = False
    num_processes: int = Field(default=1, ge=1, strict=True)
    num_machines: int = Field(default=1, ge=1, strict=True)
    machine_rank: int = Field(default=0, ge=0, strict=True)
    gpu_ids: str | int | None = None
    main_process_port: int | None = None
    deepspeed_config: DeepSpeedBlock | None = None
    fsdp_config: dict[str, Any] | None = None
    mpirun_config: dict[str, Any] | None = None
    dynamo_backend: str | None = None  # which accelerate turns into a `dynamo_config`
    downcast_bf16: StrictBool | Literal["no"] = False


@cache
def launch_file() -> type[LaunchFile]:
    """Makes the class of an accelerate file, with the keys and kinds of the installed accelerate."""
    fields = class_fields(CONFIG, "BaseConfig") | class_fields(CONFIG, "ClusterConfig")
    more: dict[str, Any] = {name: Annotated[each.type | None, Strict()] for name, each in fields.items()}
    more = {name: (kind, None) for name, kind in more.items() if name not in LaunchFile.model_fields}
    kinds = tuple(enum_members(("accelerate", "utils/dataclasses.py"), "DistributedType"))
    more["distributed_type"] = Literal[kinds], ...
    return create_model("LaunchFile", __base__=LaunchFile, **more)


# accelerate 1.15 hands weights on in `fsdp2_prepare_model`, which TRL 1.16 calls for the trained model only.
EMPTY_MODELS = (
    "`fsdp_cpu_ram_efficient_loading: true`, the default of accelerate, loads weights in the first process and hands "
    "on those of the model that is trained: a reference or a reward model would be random in the others, without a "
    "word. Write `fsdp_cpu_ram_efficient_loading: false`."
)


def check_deepspeed_config(path: Path) -> Launch:
    """Checks an accelerate file (`.yaml`) or a DeepSpeed file (`.json`) before anything starts."""
    return check_deepspeed_json(path) if path.suffix == ".json" else _check_yaml(path)


def _check_yaml(path: Path) -> Launch:
    content = load_yaml(path)
    try:
        launch = launch_file().model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_problem(launch_file(), error)}") from error
    _check_launcher(path, launch)
    block = launch.deepspeed_config
    if block is None:
        return Launch(launch.num_processes, fsdp=launch.distributed_type == "FSDP")
    if block.deepspeed_config_file is not None:
        return _check_file_beside(path, launch, block)._replace(num_processes=launch.num_processes)
    if block.zero_stage is None:
        raise RecipeError(
            f"{path}: `deepspeed_config.zero_stage` is missing; accelerate would take 2. Write 1, 2 or 3."
        )
    offload = [device not in (None, "none") for device in (block.offload_optimizer_device, block.offload_param_device)]
    if offload[1] and block.zero_stage != 3:
        raise RecipeError(
            f"{path}: `deepspeed_config.offload_param_device: {block.offload_param_device}` needs `zero_stage: 3`, "
            f"got {block.zero_stage}. Offload the optimizer only, or use stage 3."
        )
    return Launch(launch.num_processes, block.zero_stage, *offload)


def _check_launcher(path: Path, launch: LaunchFile) -> None:
    for kind, block in (("DEEPSPEED", "deepspeed_config"), ("FSDP", "fsdp_config")):
        is_kind = launch.distributed_type == kind
        if is_kind != (getattr(launch, block) is not None):
            raise RecipeError(
                f"{path}: `distributed_type: {kind}` and the block `{block}` belong together, got `distributed_type: "
                f"{launch.distributed_type}` {'without' if is_kind else 'with'} the block."
            )
    fsdp = launch.distributed_type == "FSDP"
    if fsdp and launch.use_cpu:
        raise RecipeError(
            f"{path}: `distributed_type: FSDP` with `use_cpu: true` trains with DDP, without a word. Use "
            "ds_configs/zero3_cpu.yaml to shard on CPUs."
        )
    for key in launch.fsdp_config or ():
        if key not in (known := _fsdp_keys()):
            raise RecipeError(f"{path}: unknown key `fsdp_config.{key}`.{suggestion(str(key), known)}")
    if fsdp and (launch.fsdp_config or {}).get("fsdp_cpu_ram_efficient_loading", True) is not False:
        raise RecipeError(f"{path}: {EMPTY_MODELS}")
    if launch.distributed_type == "MULTI_CPU" and launch.num_processes > 1 and not launch.mpirun_config:
        raise RecipeError(
            f"{path}: `distributed_type: MULTI_CPU` starts one process, not {launch.num_processes}, unless mpirun is "
            "configured. Write `distributed_type: MULTI_GPU` with `use_cpu: true`."
        )


@cache
def _fsdp_keys() -> list[str]:
    """Lists what accelerate hands on of the block `fsdp_config`; it drops other keys without a word."""
    written = (node.value for node in ast.walk(source_tree(LAUNCHER)) if isinstance(node, ast.Constant))
    return sorted({str(value)[2:] for value in written if str(value).startswith("--fsdp_")})


def _check_file_beside(path: Path, launch: LaunchFile, block: DeepSpeedBlock) -> Launch:
    refused = [name for name in NOT_BESIDE_A_FILE if getattr(block, name) is not None]
    refused += ["mixed_precision"] if launch.mixed_precision is not None else []
    if refused:
        raise RecipeError(
            f"{path}: `{refused[0]}` cannot stand beside `deepspeed_config_file`. "
            f"Say it in {block.deepspeed_config_file}."
        )
    return check_deepspeed_json(Path(str(block.deepspeed_config_file)))
