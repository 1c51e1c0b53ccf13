"""The model card of a run: what was trained, on what, towards which reward or preference."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import ModelCardData
from jinja2 import Environment, PackageLoader

from align.configs.dataset import MultipleChoiceDatasetConfig
from align.configs.recipe import Recipe
from align.configs.rrpo_rules import is_plain_dpo
from align.runs.versions import installed_versions


class Card(NamedTuple):
    """What the card of a method says about every run of it.

    Attributes:
        paper: arXiv number.
        title: Of the paper.
        settings: Those to list.
        not_shown: What training with it is no evidence of.
    """

    paper: str
    title: str
    settings: tuple[str, ...]
    not_shown: str


_PAIR_SETTINGS = (
    "learning_rate", "beta", "kl_coef", "kl_placement", "spans", "diff_unit", "on_missing_spans", "max_length", "seed",
)  # fmt: skip
_PAIRS_DO_NOT_SHOW = (
    "that the model writes what it prefers between two given responses, and anything on prompts unlike those of the "
    "data"
)
CARDS = {
    "acre": Card(
        "2510.10104",
        "Answer-Consistent Chain-of-thought Reinforcement Learning For Multi-modal Large Language Models",
        ("learning_rate", "num_generations", "beta", "temperature", "loss_type", "scale_rewards", "seed"),
        "accuracy on other tasks, and answers outside multiple choice",
    ),
    "rrpo": Card(
        "2504.12083",
        "Self-Alignment of Large Video Language Models with Refined Regularized Preference Optimization",
        _PAIR_SETTINGS,
        _PAIRS_DO_NOT_SHOW,
    ),
    "dpo": Card(
        "2305.18290",
        "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
        _PAIR_SETTINGS,
        _PAIRS_DO_NOT_SHOW,
    ),
}


def write_model_card(folder: Path, recipe: Recipe, steps: int, fingerprints: dict[str, str]) -> None:
    """Writes README.md, in place of the draft that TRL leaves beside every checkpoint."""
    base, method = recipe.model.model_name_or_path, _method(recipe)
    is_folder = Path(base).is_dir()
    metadata = ModelCardData(
        base_model=None if is_folder else base,
        library_name="peft" if recipe.model.use_peft else "transformers",
        tags=["trl", "truealign", method],
    )
    template = Environment(loader=PackageLoader("align.runs", ""), autoescape=False).get_template("model_card.md.j2")
    card = template.render(
        metadata=metadata.to_yaml().strip(),
        name=folder.name,
        base=f"`{Path(base).name}`" if is_folder else f"[{base}](https://huggingface.co/{base})",
        method=method.upper(),
        card=CARDS[method],
        versions=installed_versions(),
        facts=_facts(recipe, steps, fingerprints),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _method(recipe: Recipe) -> str:
    """Names what was trained with: RRPO with its own settings off is not RRPO."""
    return "dpo" if recipe.method == "rrpo" and is_plain_dpo(recipe.setting) else recipe.method


def _facts(recipe: Recipe, steps: int, fingerprints: dict[str, str]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if recipe.reward_funcs:
        facts["rewards"] = _rewards(recipe)
    digests = (f"{name} (SHA-256 {digest[:12]})" for name, digest in fingerprints.items())
    facts["data"] = ", ".join(digests) or recipe.dataset.path
    if isinstance(recipe.dataset, MultipleChoiceDatasetConfig):
        facts["prompt"] = f"`{json.dumps(recipe.dataset.prompt_template, ensure_ascii=False)}`"
    return facts | {"steps": steps} | {name: recipe.setting(name) for name in CARDS[_method(recipe)].settings}


def _rewards(recipe: Recipe) -> str:
    weights: list[Any] = recipe.setting("reward_weights") or [1.0] * len(recipe.reward_funcs)
    parts = []
    for spec, weight in zip(recipe.reward_funcs, weights, strict=True):
        kwargs = recipe.reward_kwargs.get(spec.rpartition(":")[2].rpartition(".")[2], {})
        parts.append(f"{weight:g} x {spec}" + (f" {kwargs}" if kwargs else ""))
    return ", ".join(parts)
