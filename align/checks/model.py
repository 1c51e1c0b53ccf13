"""Where a recipe's model is, and what it says of itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from align.checks.finding import Finding
from align.models.at_hand import file_problem, is_hub_id
from align.models.model_files import file_problems
from align.models.pretrained import pickled_weights
from align.recipe.recipe import Recipe

ELSEWHERE = {"gguf_file", "subfolder", "variant"}  # keys of loading under which the files have other names


def check_model(recipe: Recipe) -> list[Finding]:
    """Finds a model path that leads nowhere, or to pickled weights; a hub id may still be downloaded."""
    model = recipe.model.model_name_or_path
    given = getattr(recipe.settings, "model_init_kwargs", None) or {}
    if given.get("use_safetensors", True) is not True:
        text = "`model_init_kwargs.use_safetensors` is always true here: pickled weights can run code. Remove the key."
        return [Finding("error", "model", text)]
    if problem := pickled_weights(model):
        return [Finding("error", "model", f"`model_name_or_path`: {problem}")]
    if Path(model).is_dir():
        return _check_folder(recipe, given)
    if problem := file_problem(model):
        return [Finding("error", "model", f"`model_name_or_path`: {problem}{_hint(model)}")]
    if is_hub_id(model):
        return []
    text = f"There is no folder {model}. Check `model_name_or_path`; `./x` is relative to the recipe."
    return [Finding("error", "model", text)]


def _hint(file: str) -> str:
    name = Path(file).name
    chosen = f" A GGUF file in it is chosen by `model_init_kwargs: {{gguf_file: {name}}}`."
    return chosen if name.endswith(".gguf") else ""


def _check_folder(recipe: Recipe, given: Mapping[str, Any]) -> list[Finding]:
    if ELSEWHERE & set(given):
        return []
    runs_code = True in (getattr(recipe.settings, "trust_remote_code", None), given.get("trust_remote_code"))
    writes_text = recipe.record.part("footprint")(recipe).has_lm_head
    problems = file_problems(Path(recipe.model.model_name_or_path), runs_code=runs_code, writes_text=writes_text)
    return [Finding("error", "model", f"`model_name_or_path`: {problem}") for problem in problems]


def model_folder(model: str) -> Path | None:
    """Returns a model's folder, or its snapshot in the hub's cache; None if it is not on this machine."""
    if Path(model).is_dir():
        return Path(model)
    if not is_hub_id(model):
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model, "tokenizer.json")
    return Path(cached).parent if isinstance(cached, str) else None


def model_config(model: str) -> dict[str, Any]:
    """Reads a model's config.json, what it says of its language model on top; empty if there is none to be read."""
    folder = model_folder(model)
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8")) if folder else None
    except (OSError, ValueError, RecursionError):
        return {}
    return {**content, **(content.get("text_config") or {})} if isinstance(content, dict) else {}
