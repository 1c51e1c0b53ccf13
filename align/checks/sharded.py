"""Whether a run can be made with FSDP, which a launch file asks for."""

from typing import Any

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.machine.devices import list_gpus
from align.recipe.recipe import Recipe
from align.recipe.rules import rules_of


def check_sharded(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Finds what would train otherwise than the launch file says, or end when the trainer is built."""
    if not launch.fsdp:
        return []
    if recipe.setting("use_cpu") or not list_gpus():
        text = (
            "The launch asks for FSDP, and on CPUs accelerate trains with DDP in its place without a word. Launch "
            "with ds_configs/ddp_cpu.yaml, or with ds_configs/zero3_cpu.yaml, which shards."
        )
        return [Finding("error", "launch", text)]

    def setting(name: str) -> Any:
        return True if name == "fsdp" else recipe.setting(name)

    together = rules_of(recipe.method).together
    try:
        if together is not None:
            together(setting)
    except ValueError as error:
        return [Finding("error", "launch", str(error))]
    return []
