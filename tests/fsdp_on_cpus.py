"""FSDP over CPU processes, where accelerate would train with DDP."""

import os
from functools import wraps
from typing import Any

from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

# For `accelerate launch`, before the script: ds_configs/fsdp2.yaml is written for four GPUs.
WORDS = {"fsdp2": ("--num_processes", 2, "--mixed_precision", "no")}


def shard_on_cpus() -> None:
    """Has accelerate take processes on CPUs for those that it shards over, where a launch file asks for FSDP.

    `AcceleratorState` of accelerate 1.15 turns MULTI_GPU and its like for other devices into FSDP, and leaves
    MULTI_CPU out; what it and torch do from there on runs on CPUs as it does on GPUs, with gloo for NCCL.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "false") != "true":
        return
    original = AcceleratorState.__init__

    @wraps(original)
    def make(self: AcceleratorState, *args: Any, **kwargs: Any) -> None:
        state = PartialState._shared_state
        if not AcceleratorState._shared_state and state.get("distributed_type") == DistributedType.MULTI_CPU:
            state["distributed_type"] = DistributedType.MULTI_GPU
        original(self, *args, **kwargs)

    AcceleratorState.__init__ = make
