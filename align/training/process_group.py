"""The process group of a run, joined before the first barrier and left after the last."""

import os
import sys
from datetime import timedelta
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

from align.recipe.recipe import Recipe


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
