"""The model card of a run: what was trained, on what, towards which reward."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from jinja2 import Environment, PackageLoader

from align.configs.recipe import Recipe
from align.runs.versions import installed_versions

PAPERS = {"acre": "2510.10104"}
SHOWN = ("learning_rate", "num_generations", "beta", "temperature", "loss_type", "scale_rewards", "seed")


def write_model_card(folder: Path, recipe: Recipe, steps: int, fingerprints: dict[str, str]) -> None:
    """Writes README.md, in place of the draft that TRL leaves beside every checkpoint."""
    base = recipe.model.model_name_or_path
    is_folder = Path(base).is_dir()
    metadata = ModelCardData(
        base_model=None if is_folder else base,
        library_name="peft" if recipe.model.use_peft else "transformers",
        tags=["trl", "truealign", recipe.method],
    )
    settings = {name: recipe.setting(name) for name in SHOWN}
    template = Environment(loader=PackageLoader("align.runs", ""), autoescape=False).get_template("model_card.md.j2")
    card = template.render(
        metadata=metadata.to_yaml().strip(),
        name=folder.name,
        base=f"`{Path(base).name}`" if is_folder else f"[{base}](https://huggingface.co/{base})",
        method=recipe.method.upper(),
        paper=PAPERS[recipe.method],
        versions=installed_versions(),
        rewards=_rewards(recipe),
        data=", ".join(f"{name} (SHA-256 {digest[:12]})" for name, digest in fingerprints.items())
        or recipe.dataset.path,
        prompt=json.dumps(recipe.dataset.prompt_template, ensure_ascii=False),
        steps=steps,
        settings=settings,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _rewards(recipe: Recipe) -> str:
    weights: list[Any] = recipe.setting("reward_weights") or [1.0] * len(recipe.reward_funcs)
    parts = []
    for spec, weight in zip(recipe.reward_funcs, weights, strict=True):
        kwargs = recipe.reward_kwargs.get(spec.rpartition(":")[2].rpartition(".")[2], {})
        parts.append(f"{weight:g} x {spec}" + (f" {kwargs}" if kwargs else ""))
    return ", ".join(parts)
