"""How a run is spread over devices, read from the accelerate file it will be launched with."""

from pathlib import Path
from typing import NamedTuple

from align.configs.deepspeed import check_deepspeed_config


class Launch(NamedTuple):
    """Processes and sharding."""

    num_processes: int = 1
    zero_stage: int = 0  # 0 where DeepSpeed is not used
    offload_optimizer: bool = False
    offload_param: bool = False


def read_launch(accelerate_config: Path | None) -> Launch:
    """Reads and checks an accelerate or DeepSpeed file; without one, a run has one process.

    Raises:
        RecipeError: If the file cannot be read, or has a wrong key or value.
    """
    if accelerate_config is None:
        return Launch()
    plan = check_deepspeed_config(accelerate_config)
    return Launch(plan.num_processes or 1, plan.zero_stage, plan.offload_optimizer, plan.offload_param)
