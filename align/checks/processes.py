"""Settings that only a run of several processes can have."""

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.recipe.recipe import Recipe
from rewards.extras import is_installed, missing


def check_processes(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Finds settings with which a run of one process would end when its trainer is built."""
    if launch.num_processes > 1:
        return []
    alone = [name for name in ("fsdp", "ddp_backend") if recipe.setting(name)]
    start = "start it with `accelerate launch`, and check it with `align check --accelerate_config FILE`"
    has_launcher = bool(launch.zero_stage) or launch.by_launcher
    if recipe.setting("deepspeed") and not has_launcher and _needs_launcher():
        return [
            Finding("error", "launch", f"`deepspeed` needs a launcher, also for one process. Remove it, or {start}.")
        ]
    text = "`{}: {}` is for several processes, and this run has one. Remove it, or {}."
    return [Finding("error", "launch", text.format(name, _written(recipe.setting(name)), start)) for name in alone]


def _needs_launcher() -> bool:
    """Whether DeepSpeed, where it is installed, finds out in no other way which process this is."""
    return not missing("deepspeed", "") and not is_installed("mpi4py")


def _written(value: object) -> str:
    return "true" if value is True else str(value)
