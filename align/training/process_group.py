"""The process group of a run, joined before the first barrier and with the settings of the recipe."""

import os
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
    on_cpus = recipe.setting("use_cpu") or not torch.accelerator.is_available()
    settings: dict[str, Any] = {"timeout": timedelta(seconds=recipe.setting("ddp_timeout"))}
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() != "true":  # which has a choice of its own
        settings["backend"] = recipe.setting("ddp_backend")
    return PartialState(cpu=bool(on_cpus or parse_flag_from_env("ACCELERATE_USE_CPU")), **settings)
