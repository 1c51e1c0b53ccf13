"""Whether the extras that a recipe needs are installed."""

from collections.abc import Iterator

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.methods import METHODS
from align.recipe.recipe import Recipe
from rewards.extras import missing, pip_line


def check_extras(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Names what is not installed; what rewards, data and images need is found where these are looked at."""
    sentences = [(extra, missing(extra, what, *modules)) for extra, what, *modules in _needs(recipe, launch)]
    return [Finding("error", "extras", text, fix=pip_line(extra)) for extra, text in sentences if text]


def _needs(recipe: Recipe, launch: Launch) -> Iterator[tuple[str, ...]]:
    """Yields extra, what needs it, and which modules of it, where that is not all."""
    if recipe.training.get("deepspeed"):
        yield "deepspeed", "`deepspeed`"
    elif launch.zero_stage:
        yield "deepspeed", f"A launch file with `zero_stage: {launch.zero_stage}`"
    if (recipe.training.get("model_init_kwargs") or {}).get("gguf_file"):
        yield "gguf", "`model_init_kwargs: {gguf_file: ...}`"
    if of_method := METHODS[recipe.method].part("extras"):
        yield from of_method(recipe)
