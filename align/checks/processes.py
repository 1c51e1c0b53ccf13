"""Settings that only a run of several processes can have."""

from importlib.util import find_spec

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.recipe.recipe import Recipe


def check_processes(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Finds settings with which a run of one process would end when its trainer is built."""
    if launch.num_processes > 1:
        return []
    alone = [name for name in ("fsdp", "ddp_backend") if recipe.setting(name)]
    start = "start it with `accelerate launch`, and check it with `align check --accelerate_config FILE`"
    if (
        recipe.setting("deepspeed")
        and not launch.zero_stage
        and not launch.by_launcher
        and find_spec("mpi4py") is None
    ):
        return [
            Finding("error", "launch", f"`deepspeed` needs a launcher, also for one process. Remove it, or {start}.")
        ]
    text = "`{}: {}` is for several processes, and this run has one. Remove it, or {}."
    return [Finding("error", "launch", text.format(name, _written(recipe.setting(name)), start)) for name in alone]


def _written(value: object) -> str:
    return "true" if value is True else str(value)
