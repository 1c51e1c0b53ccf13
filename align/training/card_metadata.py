"""The fields of a model card that the hub reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCardData, try_to_load_from_cache

from align.data.files import READERS
from align.models.card import card_fields, hub_id
from align.recipe.recipe import Recipe
from align.secrets import mask

if TYPE_CHECKING:
    from align.training.model_card import Card


def card_metadata(recipe: Recipe, card: "Card", rows: Sequence[Mapping[str, Any]]) -> ModelCardData:
    """Says what the hub can know of a run: of names only those that are its own, of a license only a known one.

    A model that was trained from a folder here has the base, and the license, of the card in that folder.

    Args:
        recipe: What was run.
        card: What the method says about it.
        rows: What was trained on.
    """
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


def _pipeline(card: "Card", rows: Sequence[Mapping[str, Any]]) -> str:
    if card.model_type == "scalar":
        return "text-classification"
    with_images = bool(rows) and any(rows[0].get(name) for name in ("image", "images"))
    return "image-text-to-text" if with_images else "text-generation"


def _card_of(path: str) -> dict[str, Any]:
    """Reads the fields of a model's card, where it lies here; nothing is downloaded."""
    if Path(path).is_dir():
        return card_fields(Path(path) / "README.md")
    file = try_to_load_from_cache(path, "README.md") if hub_id(path) else None
    return card_fields(Path(file)) if isinstance(file, str) else {}
