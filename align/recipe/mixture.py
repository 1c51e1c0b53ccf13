"""The data of a recipe: one set, or several that are mixed."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.errors import RecipeError
from align.methods import METHODS
from align.recipe.dataset import DatasetConfig, MixedSet
from align.recipe.problems import shown
from align.recipe.reading import as_mapping, read_block

SAID_OTHERWISE = ("fraction", "name")  # of a set: refused by sentences of their own
OF_SOME = ("columns", "adapter", "media_dir")  # keys of a set that not every method's data has


def dataset_class(method: str, content: Mapping[str, Any]) -> type[DatasetConfig]:
    """Returns what the `dataset` block of a method may hold."""
    choose = METHODS[method].part("dataset_of")
    found: type[DatasetConfig] = choose(content) if choose else METHODS[method].part("dataset")
    return found


def read_dataset(kind: type[DatasetConfig], values: Any) -> DatasetConfig:
    """Validates the `dataset` block, and what each set of a mixture says of itself.

    Args:
        kind: Class of the block, which the method names.
        values: The block as it was written.

    Raises:
        RecipeError: At the first key or value that is wrong, with its full name.
    """
    block = as_mapping("dataset", values)
    written = block.get("mix")
    entries = [] if written is None else _read_entries(written)
    if entries and block.get("path") is not None:
        raise RecipeError(
            "`dataset.path` and `dataset.mix` exclude each other. Move the path into the list; on the command line "
            "`--dataset.path null` clears it."
        )
    dataset = read_block(kind, "dataset.", block)
    for number, entry in enumerate(entries):
        for name in OF_SOME:
            if name in entry.model_fields_set and name not in kind.model_fields:
                raise RecipeError(f"`dataset.mix.{number}.{name}`: data of this method has no `{name}`. Remove it.")
        read_block(kind, f"dataset.mix.{number}.", dataset.of_set(entry))
    return dataset


def _read_entries(written: Any) -> list[MixedSet]:
    if not isinstance(written, Sequence) or isinstance(written, str) or not written:
        raise RecipeError(
            f"`dataset.mix` must list data sets, such as [{{path: ./a.jsonl, weight: 0.7}}, {{path: ./b.jsonl, "
            f"weight: 0.3}}]; got {shown(written)}."
        )
    entries = [_read_entry(f"dataset.mix.{number}", value) for number, value in enumerate(written)]
    without = [number for number, entry in enumerate(entries) if entry.weight is None]
    if without and len(without) < len(entries):
        raise RecipeError(
            f"`dataset.mix.{without[0]}.weight` is missing, and others have one. Give every set a weight, or none: "
            "without weights each row of each set is there once."
        )
    return entries


def _read_entry(name: str, value: Any) -> MixedSet:
    block: Mapping[str, Any] = as_mapping(name, value)
    if "fraction" in block:  # what TRL's scripts call it, which reach it by leaving rows out only
        raise RecipeError(f"`{name}.fraction` is `weight` here. Rename it; weights need not sum to 1.")
    if "name" in block:
        raise RecipeError(f"`{name}.name`: the subset of a hub data set goes into `path`, as in `owner/name:subset`.")
    return read_block(MixedSet, f"{name}.", block)
