"""Whether the modules that a recipe names for its adapter are there: peft passes over a misspelt one among others."""

from pathlib import Path

from align.checks.finding import Finding
from align.checks.model import model_folder
from align.models.pretrained import weight_files
from align.recipe.recipe import Recipe
from align.recipe.rules import suggestion

TIED = "lm_head"  # whose weights are those of the embedding, and not in the file a second time


def check_adapter(recipe: Recipe) -> list[Finding]:
    """Finds names of `lora_target_modules` that are no part of a name in the model's files.

    A pattern is left to peft, and so is `all-linear`. What is found is a warning, since transformers may join the
    modules of a file, as it does with experts.
    """
    targets = recipe.model.lora_target_modules
    folder = model_folder(recipe.model.model_name_or_path)
    if not recipe.model.use_peft or isinstance(targets, str) or folder is None:
        return []
    known = _modules(folder)
    missing = [name for name in targets if known and not any(_is_end(name, module) for module in known)]
    last = sorted({module.rpartition(".")[2] for module in known})
    return [
        Finding(
            "warning",
            "model",
            f"`lora_target_modules`: no module in the files of the model is called {name!r}, and what is not there "
            f"gets no adapter. It has {', '.join(last)}.{suggestion(name, last)}",
        )
        for name in missing
    ]


def _modules(folder: Path) -> set[str]:
    """Names the modules that have weights; none where the files cannot be read."""
    from safetensors import SafetensorError, safe_open

    names: set[str] = {TIED}
    try:
        for file in weight_files(folder):
            with safe_open(file, framework="np") as weights:
                names |= {name.removesuffix(".weight") for name in weights.offset_keys() if name.endswith(".weight")}
    except (OSError, ValueError, LookupError, SafetensorError):
        return set()
    return names if len(names) > 1 else set()


def _is_end(name: str, module: str) -> bool:
    return module == name or module.endswith(f".{name}")
