"""The model card of a run: what was trained, on what, towards which reward or preference."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import ModelCardData
from jinja2 import Environment, PackageLoader

from align.data.pairs.reward_pair_rules import DEFAULT_SOURCE
from align.methods.deconfound.dataset import ObservationDatasetConfig
from align.methods.rrpo.rules import is_plain_dpo
from align.recipe.dataset import MultipleChoiceDatasetConfig
from align.recipe.recipe import Recipe
from align.secrets import mask
from align.versions import installed_versions


class Card(NamedTuple):
    """What the card of a method says about every run of it.

    Attributes:
        name: Of the method.
        paper: arXiv number.
        title: Of the paper.
        settings: Those to list.
        not_shown: What training with it is no evidence of.
    """

    name: str
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
_REWARD_MODEL_SETTINGS = (
    "learning_rate", "model_type", "tie_coef", "center_rewards_coefficient", "max_length", "seed",
)  # fmt: skip
_REWARDS_DO_NOT_SHOW = (
    "that the model judges what its pairs are not about, and that a policy trained on its rewards gets better: it "
    "finds what a reward model overlooks. Only differences between the rewards of answers to one prompt mean something"
)
_ROLLOUT_SETTINGS = ("learning_rate", "num_generations", "beta", "temperature", "loss_type", "scale_rewards", "seed")
CARDS = {
    "grpo": Card(
        "GRPO",
        "2402.03300",
        "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models",
        _ROLLOUT_SETTINGS,
        "that what the rewards pay for is what was meant, and anything on prompts unlike those of the data",
    ),
    "acre": Card(
        "ACRE",
        "2510.10104",
        "Answer-Consistent Chain-of-thought Reinforcement Learning For Multi-modal Large Language Models",
        _ROLLOUT_SETTINGS,
        "accuracy on other tasks, and answers outside multiple choice",
    ),
    "rrpo": Card(
        "RRPO",
        "2504.12083",
        "Self-Alignment of Large Video Language Models with Refined Regularized Preference Optimization",
        _PAIR_SETTINGS,
        _PAIRS_DO_NOT_SHOW,
    ),
    "dpo": Card(
        "DPO",
        "2305.18290",
        "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
        _PAIR_SETTINGS,
        _PAIRS_DO_NOT_SHOW,
    ),
    "crome": Card(
        "Crome",
        "2506.16507",
        "Robust Reward Modeling via Causal Rubrics",
        _REWARD_MODEL_SETTINGS,
        _REWARDS_DO_NOT_SHOW,
    ),
    "bradley-terry": Card(
        "Bradley-Terry",
        "2203.02155",
        "Training language models to follow instructions with human feedback",
        _REWARD_MODEL_SETTINGS,
        _REWARDS_DO_NOT_SHOW,
    ),
    "deconfound": Card(
        "DeconfoundLM",
        "2506.00152",
        "Aligning Language Models with Observational Data",
        ("head", "learning_rate", "max_length", "seed"),
        "that the assumptions of the correction are true, and that a policy trained on its rewards gets better: it "
        "finds what a reward model overlooks. Beyond texts like those of the data a score means nothing",
    ),
}
Rows = Sequence[Mapping[str, Any]]


def write_model_card(
    folder: Path,
    recipe: Recipe,
    steps: int,
    fingerprints: dict[str, str],
    rows: Rows,
    warnings: Sequence[str] = (),
) -> None:
    """Writes README.md, in place of the draft that TRL leaves beside every checkpoint.

    Args:
        folder: The run folder.
        recipe: What was run.
        steps: Optimizer steps made.
        fingerprints: SHA-256 of each local data file.
        rows: What was trained on.
        warnings: What was found before training, rows that were left out among it.
    """
    base, method = mask(recipe.model.model_name_or_path), _method(recipe, rows)
    is_folder, model_type = Path(base).is_dir(), _model_type(recipe)
    metadata = ModelCardData(
        base_model=None if is_folder else base,
        library_name="peft" if recipe.model.use_peft else "transformers",
        tags=["trl", "truealign", method, *(["reward-model"] if model_type else [])],
    )
    environment = Environment(loader=PackageLoader("align.training", ""), autoescape=False)
    card = environment.get_template("model_card.md.j2").render(
        metadata=metadata.to_yaml().strip(),
        name=folder.name,
        base=f"`{Path(base).name}`" if is_folder else f"[{base}](https://huggingface.co/{base})",
        card=CARDS[method],
        model_type=model_type,
        is_adapter=recipe.model.use_peft,
        reads_confounders=getattr(recipe.dataset, "estimator", None) == "input",
        is_text=bool(rows) and isinstance(rows[0]["prompt"], str),
        versions=installed_versions(),
        warnings=[" ".join(each.split()) for each in mask(list(warnings))],
        facts=mask(_facts(recipe, method, steps, fingerprints, rows)),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _model_type(recipe: Recipe) -> str | None:
    """Names the kind of reward model, None for a policy."""
    return {"crome": lambda: recipe.setting("model_type"), "deconfound": lambda: "scalar"}.get(
        recipe.method, lambda: None
    )()


def _method(recipe: Recipe, rows: Rows) -> str:
    """Names what was trained with: RRPO with its own settings off is not RRPO, nor Crome without edits and ties."""
    if recipe.method == "rrpo" and is_plain_dpo(recipe.setting):
        return "dpo"
    if recipe.method == "crome":
        learnt = [row for row in rows if not row["tie"] or recipe.setting("tie_coef")]
        if not any(row["tie"] or row["source"] != DEFAULT_SOURCE for row in learnt):
            return "bradley-terry"
    return recipe.method


def _facts(recipe: Recipe, method: str, steps: int, fingerprints: dict[str, str], rows: Rows) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if recipe.reward_funcs:
        facts["rewards"] = _rewards(recipe)
    digests = (f"{name} (SHA-256 {digest[:12]})" for name, digest in fingerprints.items())
    facts["data"] = ", ".join(digests) or recipe.dataset.path
    if isinstance(recipe.dataset, MultipleChoiceDatasetConfig):
        facts["prompt"] = f"`{json.dumps(recipe.dataset.prompt_template, ensure_ascii=False)}`"
    if recipe.method == "crome":
        counts = Counter(f"{row['source']}{' (ties)' if row['tie'] else ''}" for row in rows)
        facts["pairs"] = ", ".join(f"{count} {name}" for name, count in counts.items())
    if isinstance(recipe.dataset, ObservationDatasetConfig):
        settings = recipe.dataset.model_dump(exclude_defaults=True, exclude={"path", "eval_path"})
        facts |= {"rows": len(rows), "correction": f"`{json.dumps(mask(settings), ensure_ascii=False)}`"}
    return facts | {"steps": steps} | {name: recipe.setting(name) for name in CARDS[method].settings}


def _rewards(recipe: Recipe) -> str:
    weights: list[Any] = recipe.setting("reward_weights") or [1.0] * len(recipe.reward_funcs)
    parts = []
    for spec, weight in zip(recipe.reward_funcs, weights, strict=True):
        kwargs = mask(recipe.reward_kwargs.get(spec.rpartition(":")[2].rpartition(".")[2], {}))
        parts.append(f"{weight:g} x {spec}" + (f" {kwargs}" if kwargs else ""))
    return ", ".join(parts)
