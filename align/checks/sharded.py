"""Whether a run can be made with FSDP, which a launch file asks for."""

import os
from typing import Any

from align.checks.finding import Finding
from align.checks.launch import Launch, current_launch
from align.checks.machine.devices import list_gpus
from align.recipe.deepspeed import EMPTY_MODELS
from align.recipe.recipe import Recipe
from align.recipe.rules import rules_of

_ON_CPUS = (
    "on CPUs accelerate trains with DDP in its place without a word. There, launch with ds_configs/ddp_cpu.yaml, or "
    "with ds_configs/zero3_cpu.yaml, which shards."
)


def check_sharded(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Finds what would train otherwise than the launch file says, or end when the trainer is built."""
    if not launch.fsdp:
        return []
    launched = current_launch().fsdp  # else the recipe is looked at before, maybe on another machine
    if recipe.setting("use_cpu") or (launched and not _has_gpu()):
        return [Finding("error", "launch", f"The launch asks for FSDP, and {_ON_CPUS}")]
    found = []
    if launched and os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING", "false").lower() == "true":
        found.append(Finding("error", "launch", EMPTY_MODELS))
    if not launched and not list_gpus():
        text = f"This machine shows no GPU; the launch asks for FSDP, and {_ON_CPUS}"
        found.append(Finding("warning", "launch", text))

    def setting(name: str) -> Any:
        return True if name == "fsdp" else recipe.setting(name)

    together = rules_of(recipe.method).together
    try:
        if together is not None:
            together(setting)
    except ValueError as error:
        found.append(Finding("error", "launch", str(error)))
    return found


def _has_gpu() -> bool:
    """Asks torch, which a run loads anyway, and which knows GPUs of every maker."""
    import torch

    return torch.cuda.is_available()
