"""Reads the blocks of a recipe as the classes that say what they may hold, and names every key that none holds."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from align.errors import RecipeError
from align.methods import METHODS
from align.recipe.dataset import DatasetConfig, MixedSet
from align.recipe.fields import config_fields
from align.recipe.keys import REWARD_KEYS, top_names
from align.recipe.problems import first_problem, shown
from align.recipe.reward_settings import short_name
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


def check_keys(method: str, content: Mapping[str, Any], path: Path, dataset: type[DatasetConfig]) -> None:
    """Refuses keys that a recipe of the method does not have, and says whose they are."""
    problems = [*_at_the_top(method, content, path), *_in_dataset(content.get("dataset"), dataset)]
    if METHODS[method].has_rewards:
        problems += _in_reward_kwargs(content)
    if problems:
        raise RecipeError(" ".join(problems))


def _at_the_top(method: str, content: Mapping[str, Any], path: Path) -> Iterator[str]:
    known = top_names(method)
    for key in content:
        if key in known:
            continue
        if key in REWARD_KEYS:
            others = ", ".join(name for name, other in METHODS.items() if other.has_rewards)
            yield (
                f"`{key}` is for methods that reward completions ({others}); {method} learns from its data alone. "
                f"Remove the key."
            )
            continue
        others = ", ".join(name for name in METHODS if name != method and key in config_fields(name))
        hint = f" It is a setting of {others}." if others else ""
        hint += said_elsewhere(str(key), known)
        yield f"Unknown key `{key}` in {path.name}.{hint or suggestion(str(key), sorted(known))}"


def _in_dataset(block: Any, kind: type[DatasetConfig]) -> Iterator[str]:
    if not isinstance(block, Mapping):
        return
    yield from unknown_keys(kind, "dataset.", block)
    yield from _in_columns(block, "dataset.", kind)
    sets = block.get("mix")
    for number, entry in enumerate(sets if isinstance(sets, list) else ()):
        if isinstance(entry, Mapping):
            named = {key: value for key, value in entry.items() if key not in SAID_OTHERWISE}
            yield from unknown_keys(MixedSet, f"dataset.mix.{number}.", named)
            adapter = entry.get("adapter") or block.get("adapter")
            yield from _in_columns({**entry, "adapter": adapter}, f"dataset.mix.{number}.", kind)


def _in_columns(block: Mapping[str, Any], prefix: str, kind: type[DatasetConfig]) -> Iterator[str]:
    """Words each name of ours that no row is read by; an adapter reads columns of its own."""
    columns, read = block.get("columns"), getattr(kind, "read", ())
    if not isinstance(columns, Mapping) or not read or block.get("adapter") is not None:
        return
    for ours in columns:
        if ours not in read:
            yield (
                f"Unknown key `{prefix}columns.{ours}`.{suggestion(str(ours), read)} Our names of columns, which "
                f"stand first, are {', '.join(read)}."
            )


def _in_reward_kwargs(content: Mapping[str, Any]) -> Iterator[str]:
    kwargs, specs = content.get("reward_kwargs"), [*_texts(content, "reward_funcs"), *_texts(content, "audit_funcs")]
    names = [short_name(spec) for spec in specs]
    for name in kwargs if isinstance(kwargs, Mapping) else ():
        if name not in names:
            yield (
                f"`reward_kwargs.{name}` belongs to no reward of `reward_funcs` ({', '.join(names)})."
                f"{suggestion(str(name), names)}"
            )


def _texts(content: Mapping[str, Any], key: str) -> list[str]:
    value = content.get(key)
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]


OTHER_WORDS = {
    "model": "model_name_or_path",
    "model_name": "model_name_or_path",
    "model_id": "model_name_or_path",
    "model_path": "model_name_or_path",
    "torch_dtype": "dtype",
    "lr": "learning_rate",
    "epochs": "num_train_epochs",
    "num_epochs": "num_train_epochs",
    "steps": "max_steps",
    "batch_size": "per_device_train_batch_size",
    "train_batch_size": "per_device_train_batch_size",
    "micro_batch_size": "per_device_train_batch_size",
    "eval_batch_size": "per_device_eval_batch_size",
    "grad_accum": "gradient_accumulation_steps",
    "group_size": "num_generations",
    "rollout_n": "num_generations",
    "kl_coef": "beta",
    "kl_beta": "beta",
    "kl_loss_coef": "beta",
    "rewards": "reward_funcs",
    "reward": "reward_funcs",
    "reward_fn": "reward_funcs",
    "reward_functions": "reward_funcs",
    "reward_model": "reward_funcs",
}
_SENTENCES = {
    "dataset_name": "The data are `dataset: {path: NAME}`, with `split` and `eval_path` in the same block.",
    "dataset_path": "The data are `dataset: {path: FILE}`.",
    "train_dataset": "The data are `dataset: {path: FILE}`.",
    "train_file": "The data are `dataset: {path: FILE}`.",
    "eval_dataset": "Rows to evaluate on are `dataset: {eval_path: FILE}`.",
    "dataset_config": "A subset is named in `dataset: {path: NAME:SUBSET}`.",
    "dataset_train_split": "The split is `dataset: {split: NAME}`.",
    "dataset_test_split": "The split is `dataset: {eval_split: NAME}`.",
    "datasets": "Several data sets are listed under `dataset.mix`.",
    "max_prompt_length": "TRL cuts no prompts; `align check` names those that do not fit.",
    "resume": "Where a run goes on is an option of the command: `align train RECIPE --resume auto`.",
    "time_limit": "It is an option of `align train`: `align train RECIPE --time_limit 3h50m`.",
    "allow_changed_data": "It is an option of `align train`.",
    "peft_config": "LoRA is `use_peft: true`, with `lora_r`, `lora_alpha` and `lora_target_modules`.",
}


def said_elsewhere(key: str, known: Collection[str]) -> str:
    """Words what a recipe says in place of a key from elsewhere, empty for a key that is not known.

    Example:
        >>> said_elsewhere("lr", {"learning_rate"})
        ' A recipe says `learning_rate`.'
    """
    if key in _SENTENCES:
        return f" {_SENTENCES[key]}"
    return f" A recipe says `{OTHER_WORDS[key]}`." if OTHER_WORDS.get(key) in known else ""
