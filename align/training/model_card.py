"""The model card of a run: what was trained, on what, towards which reward or preference."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from align.data.files import READERS
from align.data.mixing import set_names
from align.markdown import code, render
from align.models.at_hand import card_fields, hub_id
from align.recipe.fields import own_fields
from align.recipe.recipe import Recipe
from align.runs.readings import texts_in
from align.secrets import mask
from align.versions import installed_versions

if TYPE_CHECKING:  # pages of runs are written without the hub
    from huggingface_hub import ModelCardData

# Beside a method's own settings, those of its parent that a reader looks for, where the parent has them.
OF_PARENTS = (
    "learning_rate", "beta", "num_generations", "temperature", "loss_type", "scale_rewards",
    "center_rewards_coefficient", "max_length", "packing", "seed",
)  # fmt: skip


class Card(NamedTuple):
    """What a method says about a run of it."""

    tag: str  # of the hub: what it was trained with, which may be less than the method
    name: str  # the same, for people
    paper: str  # arXiv number
    title: str
    not_shown: str  # what training with it is no evidence of
    facts: dict[str, Any] = {}  # noqa: RUF012 - never mutated
    model_type: str | None = None  # kind of reward model, None for a policy
    about_scores: str = ""  # what else to know before a reward model is used


Rows = Sequence[Mapping[str, Any]]


def write_model_card(
    folder: Path,
    recipe: Recipe,
    steps: int,
    fingerprints: dict[str, str],
    rows: Rows,
    warnings: Sequence[str] = (),
) -> None:
    """Writes README.md, in place of TRL's draft, into a run folder."""
    base = mask(recipe.model.model_name_or_path)
    card: Card = recipe.record.part("card")(recipe, rows)
    metadata = card_metadata(recipe, card, rows)
    values = {
        "metadata": metadata.to_yaml().strip(),
        "name": folder.name,
        "base": Markup(f"[{base}](https://huggingface.co/{base})") if hub_id(base) else code(Path(base).name),
        "card": card,
        "is_adapter": recipe.model.use_peft,
        "is_text": bool(rows) and isinstance(rows[0].get("prompt"), str),
        "versions": installed_versions(),
        "warnings": mask([_without_folders(each, recipe) for each in warnings]),
        "facts": {
            name: _without_folders(str(value), recipe)
            for name, value in mask(_facts(recipe, card, steps, fingerprints)).items()
        },
    }
    page = render("align.training", "model_card.md.j2", values)
    (folder / "README.md").write_text(page, encoding="utf-8", errors="replace")


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
    here |= {Path(each).parent for each in texts_in(recipe.resolved) if Path(each).is_absolute()}
    for folder in sorted((f"{each}/" for each in here if len(each.parts) > 1), key=len, reverse=True):
        text = text.replace(folder, "")
    return text


def card_metadata(recipe: Recipe, card: Card, rows: Sequence[Mapping[str, Any]]) -> "ModelCardData":
    """Says what the hub can know of a run: of names only those that are its own, of a license only a known one.

    A model that was trained from a folder here has the base, and the license, of the card in that folder.
    """
    from huggingface_hub import ModelCardData

    path = mask(recipe.model.model_name_or_path)
    known = _card_of(path)
    datasets = list(dict.fromkeys(name for each in recipe.dataset.sources if (name := _dataset(each.path))))
    base = hub_id(known.get("base_model") if Path(path).is_dir() else path)  # PEFT writes a folder as well
    return ModelCardData(
        base_model=base,
        base_model_relation=None if base is None else "adapter" if recipe.model.use_peft else "finetune",
        datasets=datasets or None,
        library_name="peft" if recipe.model.use_peft else "transformers",
        pipeline_tag=_pipeline(card, rows),
        tags=["trl", "truealign", card.tag, *(["reward-model"] if card.model_type else [])],
        license=known.get("license"),
        license_name=known.get("license_name"),
        license_link=known.get("license_link"),
    )


def _dataset(path: str) -> str | None:
    """Returns the hub id of a data set without its subset; a file or a folder here has none."""
    name = path.partition(":")[0]
    if Path(path).expanduser().exists() or Path(name).suffix.lower() in READERS:
        return None
    return hub_id(name)


def _pipeline(card: Card, rows: Sequence[Mapping[str, Any]]) -> str:
    if card.model_type == "scalar":
        return "text-classification"
    with_images = bool(rows) and any(rows[0].get(name) for name in ("image", "images"))
    return "image-text-to-text" if with_images else "text-generation"


def _card_of(path: str) -> dict[str, Any]:
    """Reads the fields of a model's card, where it lies here; nothing is downloaded."""
    if Path(path).is_dir():
        return card_fields(Path(path) / "README.md")
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(path, "README.md") if hub_id(path) else None
    return card_fields(Path(file)) if isinstance(file, str) else {}
