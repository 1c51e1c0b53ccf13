"""How a run is spread over devices."""

import os
from pathlib import Path
from typing import NamedTuple

from align.errors import RecipeError
from align.recipe.deepspeed import check_deepspeed_config


class Launch(NamedTuple):
    """Processes and sharding."""

    num_processes: int = 1
    zero_stage: int = 0  # 0 where DeepSpeed is not used
    offload_optimizer: bool = False
    offload_param: bool = False
    fsdp: bool = False
    by_launcher: bool = False  # which says to each process which one it is

    @property
    def sharding(self) -> str:
        """How optimizer, gradients and weights are split: `zero1` to `zero3`, `fsdp`, or `none`."""
        return f"zero{self.zero_stage}" if self.zero_stage else "fsdp" if self.fsdp else "none"


def read_launch(accelerate_config: Path | None) -> Launch:
    """Reads the file that `accelerate launch --config_file` will get; without one, a run has one process.

    Raises:
        RecipeError: If the file cannot be read or has a wrong key or value.
    """
    if accelerate_config is None:
        return Launch()
    plan = check_deepspeed_config(accelerate_config)
    num_processes, offloads = plan.num_processes or 1, (plan.offload_optimizer, plan.offload_param)
    return Launch(num_processes, plan.zero_stage, *offloads, plan.fsdp, by_launcher=True)


def current_launch() -> Launch:
    """Reads what `accelerate launch` told this process, and checks the DeepSpeed file it was given, if any.

    Raises:
        RecipeError: If the DeepSpeed file has a wrong key or value.
    """
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false") != "true":
        fsdp = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
        return Launch(num_processes, fsdp=fsdp, by_launcher="LOCAL_RANK" in os.environ)
    if os.environ.get("ACCELERATE_USE_CPU", "false").lower() == "true":
        raise RecipeError(
            "The environment variable ACCELERATE_USE_CPU turns DeepSpeed off without a word. Unset it, and set "
            "`use_cpu: true` in the recipe."
        )
    file = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if file != "none":
        plan = check_deepspeed_config(Path(file))
        return Launch(num_processes, plan.zero_stage, plan.offload_optimizer, plan.offload_param)
    optimizer, param = (
        os.environ.get(f"ACCELERATE_DEEPSPEED_OFFLOAD_{what}_DEVICE", "none") != "none"
        for what in ("OPTIMIZER", "PARAM")
    )
    return Launch(num_processes, int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")), optimizer, param)
