"""Checks accelerate files before anything starts: accelerate drops a misspelt DeepSpeed key without a word."""

import ast
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError

from align.errors import RecipeError
from align.recipe.deepspeed_json import LaunchPlan, check_deepspeed_json, first_problem
from align.recipe.rules import suggestion
from align.recipe.signatures import Source, source_tree
from align.recipe.yaml_loader import load_yaml

LAUNCHER: Source = ("accelerate", "commands/launch.py")
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
    "gradient_accumulation_steps",
    "gradient_clipping",
    "zero_stage",
    "offload_optimizer_device",
    "offload_param_device",
    "offload_optimizer_nvme_path",
    "offload_param_nvme_path",
    "zero3_save_16bit_model",
)


class LaunchFile(BaseModel):
    """An accelerate file (accelerate 1.15); blocks of other launchers pass unread."""

    model_config = ConfigDict(extra="forbid")

    compute_environment: Literal["LOCAL_MACHINE", "AMAZON_SAGEMAKER"] = "LOCAL_MACHINE"
    distributed_type: Literal[
        "NO",
        "MULTI_CPU",
        "MULTI_GPU",
        "MULTI_NPU",
        "MULTI_MLU",
        "MULTI_SDAA",
        "MULTI_MUSA",
        "MULTI_XPU",
        "MULTI_HPU",
        "MULTI_NEURON",
        "DEEPSPEED",
        "FSDP",
        "XLA",
        "MEGATRON_LM",
    ]
    mixed_precision: Literal["no", "fp16", "bf16", "fp8"] | None = None
    use_cpu: StrictBool = False
    debug: StrictBool = False
    num_processes: int = Field(default=1, ge=1, strict=True)
    num_machines: int = Field(default=1, ge=1, strict=True)
    machine_rank: int = Field(default=0, ge=0, strict=True)
    gpu_ids: str | int | None = None
    main_process_ip: str | None = None
    main_process_port: int | None = None
    rdzv_backend: str | None = None
    same_network: StrictBool | None = None
    main_training_function: str = "main"
    enable_cpu_affinity: StrictBool = False
    deepspeed_config: DeepSpeedBlock | None = None
    fp8_config: dict[str, Any] | None = None
    fsdp_config: dict[str, Any] | None = None
    parallelism_config: dict[str, Any] | None = None
    megatron_lm_config: dict[str, Any] | None = None
    mpirun_config: dict[str, Any] | None = None
    dynamo_config: dict[str, Any] | None = None
    dynamo_backend: str | None = None
    downcast_bf16: StrictBool | Literal["no"] = False
    tpu_name: str | None = None
    tpu_zone: str | None = None
    tpu_use_cluster: StrictBool = False
    tpu_use_sudo: StrictBool = False
    command_file: str | None = None
    commands: list[str] | None = None
    tpu_vm: list[str] | None = None
    tpu_env: list[str] | None = None


# accelerate 1.15 hands weights on in `fsdp2_prepare_model`, which TRL 1.16 calls for the trained model only.
EMPTY_MODELS = (
    "`fsdp_cpu_ram_efficient_loading: true`, the default of accelerate, loads weights in the first process and hands "
    "on those of the model that is trained: a reference or a reward model would be random in the others, without a "
    "word. Write `fsdp_cpu_ram_efficient_loading: false`."
)


def check_deepspeed_config(path: Path) -> LaunchPlan:
    """Checks an accelerate file (`.yaml`) or a DeepSpeed file (`.json`) before anything starts.

    Returns:
        What the file asks for.

    Raises:
        RecipeError: At the first key or value that is wrong, with the file, the key, the value and a remedy.
    """
    return check_deepspeed_json(path) if path.suffix == ".json" else _check_yaml(path)


def _check_yaml(path: Path) -> LaunchPlan:
    content = load_yaml(path)
    try:
        launch = LaunchFile.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_problem(LaunchFile, error)}") from error
    _check_launcher(path, launch)
    block = launch.deepspeed_config
    if block is None:
        fsdp = launch.distributed_type == "FSDP"
        return LaunchPlan(0, launch.num_processes, offload_optimizer=False, offload_param=False, fsdp=fsdp)
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
    return LaunchPlan(block.zero_stage, launch.num_processes, *offload)


def _check_launcher(path: Path, launch: LaunchFile) -> None:
    deepspeed = launch.distributed_type == "DEEPSPEED"
    if deepspeed != (launch.deepspeed_config is not None):
        raise RecipeError(
            f"{path}: `distributed_type: DEEPSPEED` and the block `deepspeed_config` belong together, "
            f"got `distributed_type: {launch.distributed_type}` {'without' if deepspeed else 'with'} the block."
        )
    fsdp = launch.distributed_type == "FSDP"
    if fsdp != (launch.fsdp_config is not None):
        raise RecipeError(
            f"{path}: `distributed_type: FSDP` and the block `fsdp_config` belong together, got `distributed_type: "
            f"{launch.distributed_type}` {'without' if fsdp else 'with'} the block."
        )
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


def _check_file_beside(path: Path, launch: LaunchFile, block: DeepSpeedBlock) -> LaunchPlan:
    refused = [name for name in NOT_BESIDE_A_FILE if getattr(block, name) is not None]
    refused += ["mixed_precision"] if launch.mixed_precision is not None else []
    if refused:
        raise RecipeError(
            f"{path}: `{refused[0]}` cannot stand beside `deepspeed_config_file`. "
            f"Say it in {block.deepspeed_config_file}."
        )
    return check_deepspeed_json(Path(str(block.deepspeed_config_file)))
