"""Reads the blocks of a recipe as the classes that say what they may hold: `method`, `dataset`, and any other."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from align.errors import RecipeError
from align.methods import METHODS
from align.recipe.dataset import DatasetConfig, MixedSet
from align.recipe.problems import first_problem, shown
from align.recipe.rules import suggestion

Block = TypeVar("Block", bound=BaseModel)


def read_block(model: type[Block], prefix: str, values: Mapping[str, Any]) -> Block:
    """Validates the keys and values of a block, whose keys have a prefix such as `dataset.`."""
    if unknown := unknown_keys(model, prefix, values):
        raise RecipeError(" ".join(unknown))
    for key, value in values.items():
        if isinstance(value, bool) and _reads_as_one(model.model_fields[key].annotation):
            raise RecipeError(f"`{prefix}{key}` must be a number; got {shown(value)} (bool).")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError(first_problem(prefix.rstrip("."), error, list(values))) from error


def _reads_as_one(kind: Any) -> bool:
    """Tells the types of numbers, as which pydantic reads true as 1."""
    kinds = get_args(kind) or (kind,)
    return bool not in kinds and bool({int, float} & {each for each in kinds if isinstance(each, type)})


def unknown_keys(model: type[BaseModel], prefix: str, values: Mapping[str, Any]) -> list[str]:
    """Words each key that a block may not hold."""
    known = list(model.model_fields)
    return [f"Unknown key `{prefix}{key}`.{suggestion(str(key), known)}" for key in values if key not in known]


def as_mapping(name: str, value: Any) -> Mapping[str, Any]:
    """Returns a block, or raises `RecipeError` if it is something else."""
    if not isinstance(value, Mapping):
        needs = " It needs at least `path`." if name.split(".")[0] == "dataset" else ""
        raise RecipeError(f"`{name}` must be a block of `key: value` lines, got {shown(value)}.{needs}")
    return value


SAID_OTHERWISE = ("fraction", "name")  # of a set: refused by sentences of their own
OF_SOME = ("columns", "adapter", "media_dir")  # keys of a set that not every method's data has


def dataset_class(method: str, content: Mapping[str, Any]) -> type[DatasetConfig]:
    """Returns what the `dataset` block of a method may hold."""
    choose = METHODS[method].part("dataset_of")
    found: type[DatasetConfig] = choose(content) if choose else METHODS[method].part("dataset")
    return found


def read_dataset(kind: type[DatasetConfig], values: Any) -> DatasetConfig:
    """Validates the `dataset` block, and what each set of a mixture says of itself."""
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


EXAMPLE = next(iter(METHODS))


def method_of(content: Mapping[str, Any]) -> str:
    """Reads the key `method` of a recipe."""
    method = content.get("method")
    if isinstance(method, str) and method in METHODS:
        return method
    if method is None:
        raise RecipeError(f"`method` must be one of {', '.join(METHODS)}; {word_missing(content, METHODS)}")
    hint = suggestion(method, METHODS) if isinstance(method, str) else f" Write one word, as in `method: {EXAMPLE}`."
    raise RecipeError(f"`method` must be one of {', '.join(METHODS)}; got {shown(method)}.{hint}")


def word_missing(content: Mapping[str, Any], methods: Collection[str], prefix: str = "") -> str:
    """Says what stands there in place of the key, and which line to add, with the method that a misspelt key names."""
    misspelt = next((key for key in content if key != "method" and suggestion(str(key), ["method"])), None)
    absent = "got None." if "method" in content else "it is missing."
    found = f"`{prefix}{misspelt}` looks like it." if misspelt is not None else absent
    like = next((value for value in content.values() if isinstance(value, str) and value in methods), None)
    return f"{found} Add a line such as `method: {like or next(iter(methods))}`."
