"""The model card of a run: what was trained, on what, towards which reward or preference."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader

from align.data.mixing import set_names
from align.models.card import hub_id
from align.recipe.fields import own_fields
from align.recipe.recipe import Recipe
from align.secrets import mask
from align.training.card_metadata import card_metadata
from align.versions import installed_versions

# Beside a method's own settings, those of its parent that a reader looks for, where the parent has them.
OF_PARENTS = (
    "learning_rate", "beta", "num_generations", "temperature", "loss_type", "scale_rewards",
    "center_rewards_coefficient", "max_length", "packing", "seed",
)  # fmt: skip


class Card(NamedTuple):
    """What a method says about a run of it.

    Attributes:
        tag: Of the hub: what it was trained with, which may be less than the method.
        name: The same, for people.
        paper: arXiv number.
        title: Of the paper.
        not_shown: What training with it is no evidence of.
        facts: Further lines of the table.
        model_type: Kind of reward model, None for a policy.
        about_scores: What else to know before a reward model is used.
    """

    tag: str
    name: str
    paper: str
    title: str
    not_shown: str
    facts: dict[str, Any] = {}  # noqa: RUF012 - never mutated
    model_type: str | None = None
    about_scores: str = ""


Rows = Sequence[Mapping[str, Any]]


def write_model_card(
    folder: Path,
    recipe: Recipe,
    steps: int,
    fingerprints: dict[str, str],
    rows: Rows,
    warnings: Sequence[str] = (),
    repo: str | None = None,
) -> None:
    """Writes README.md, in place of the draft that TRL leaves beside every checkpoint.

    Args:
        folder: The run folder, or one whose content is pushed.
        recipe: What was run.
        steps: Optimizer steps made.
        fingerprints: SHA-256 of each local data file.
        rows: What was trained on.
        warnings: What was found before training, rows that were left out among it.
        repo: The repository that it is pushed to, which is the name that readers load it by; None for a folder.
    """
    base = mask(recipe.model.model_name_or_path)
    card: Card = recipe.record.part("card")(recipe, rows)
    metadata = card_metadata(recipe, card, rows)
    environment = Environment(loader=PackageLoader("align.training", ""), autoescape=False)
    page = environment.get_template("model_card.md.j2").render(
        metadata=metadata.to_yaml().strip(),
        name=repo or folder.name,
        base=f"[{base}](https://huggingface.co/{base})" if hub_id(base) else f"`{Path(base).name}`",
        card=card,
        is_adapter=recipe.model.use_peft,
        is_text=bool(rows) and isinstance(rows[0].get("prompt"), str),
        versions=installed_versions(),
        warnings=[" ".join(each.split()) for each in mask(list(warnings))],
        facts=mask(_facts(recipe, card, steps, fingerprints)),
    )
    (folder / "README.md").write_text(_without_folders(page, recipe), encoding="utf-8")


def _facts(recipe: Recipe, card: Card, steps: int, fingerprints: dict[str, str]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if recipe.reward_funcs:
        facts["rewards"] = _rewards(recipe)
    digests = (f"{name} (SHA-256 {digest[:12]})" for name, digest in fingerprints.items())
    facts["data"] = ", ".join(digests) or mask(recipe.dataset.path)
    if any(entry.weight for entry in recipe.dataset.mix or ()):
        parts = zip(recipe.dataset.mix or (), set_names(recipe.dataset.sources), strict=True)
        facts["weights"] = ", ".join(f"{entry.weight:g} x {name}" for entry, name in parts)
    return facts | card.facts | {"steps": steps} | _settings(recipe)


def _settings(recipe: Recipe) -> dict[str, Any]:
    """Lists what is set, by name: the method's own settings that this run uses, then some of its parent's."""
    names = dict.fromkeys([*own_fields(recipe.record.config_chain), *OF_PARENTS])
    unused = recipe.record.part("report").unused(recipe.resolved)
    values = {name: getattr(recipe.settings, name, None) for name in names if name not in unused}
    return {name: value for name, value in values.items() if value not in (None, [], {})}


def _rewards(recipe: Recipe) -> str:
    weights: list[Any] = recipe.settings.reward_weights or [1.0] * len(recipe.reward_funcs)
    parts = []
    for spec, weight in zip(recipe.reward_funcs, weights, strict=True):
        kwargs = mask(recipe.reward_kwargs.get(spec.rpartition(":")[2].rpartition(".")[2], {}))
        parts.append(f"{weight:g} x {spec}" + (f" {kwargs}" if kwargs else ""))
    return ", ".join(parts)


def _without_folders(text: str, recipe: Recipe) -> str:
    """Leaves the last part of every path of this machine that a recipe or a warning names; a reader has no other."""
    output = recipe.folder.resolve()
    here = {Path.cwd(), Path.home(), recipe.path.resolve().parent, output.parent}
    here |= {Path(each).parent for each in _texts(recipe.resolved) if Path(each).is_absolute()}
    for folder in sorted((f"{each}/" for each in here if len(each.parts) > 1), key=len, reverse=True):
        text = text.replace(folder, "")
    return text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts([key, item])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
