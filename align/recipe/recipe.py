"""Recipes: flat YAML in TRL's words, parsed strictly before anything heavy is loaded."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from align.errors import RecipeError
from align.methods import METHODS, Method
from align.recipe.alarms import alarm_of
from align.recipe.combinations import check_blocks, check_together, check_written
from align.recipe.dataset import DatasetConfig, MixedSet, RowDatasetConfig
from align.recipe.fields import OUR_FOLDER, settings_class
from align.recipe.model import ModelSettings, check_quantization
from align.recipe.problems import first_problem, shown
from align.recipe.reward_settings import RewardSettings, check_reward_settings
from align.recipe.rules import rules_of, suggestion
from align.recipe.unknown_keys import check_keys
from align.recipe.yaml_loader import load_yaml, merge, parse_overrides, parse_word, read_yaml_option, resolve_paths
from align.secrets import remember_secrets
from rewards.catalog import REWARDS
from rewards.extras import missing

MODEL_BLOCK = "model_init_kwargs"
OF_LOADING = ("revision", "code_revision", "subfolder", "variant", "cache_dir", "gguf_file", "token")
OF_SOME = ("columns", "adapter", "media_dir")  # keys of a set that not every method's data has
OWN_CLASS = re.compile(r"(.+\.py|\w+(\.\w+)+):\w+")  # in a file, or in a module of a package
Block = TypeVar("Block", bound=BaseModel)


@dataclass(frozen=True)
class Recipe:
    """A parsed recipe."""

    path: Path  # relative paths written `./x` in it are relative to its folder
    method: str
    model: ModelSettings
    dataset: DatasetConfig
    reward_funcs: list[str]  # specs in order; empty for methods without rewards
    reward_kwargs: dict[str, dict[str, Any]]  # settings per reward name
    rewards: RewardSettings  # how they are called, joined and watched
    settings: Any  # of the class that `settings_class` makes for the method
    resolved: dict[str, Any] = field(repr=False)  # every key as it was understood, for the run folder
    is_dry: bool = False  # nothing may be asked of a model that has to be paid or waited for
    is_checked: bool = False  # by `align check`, which measures more of its rewards than what a run prints

    @property
    def record(self) -> Method:
        """What its method is made of."""
        return METHODS[self.method]

    @property
    def training(self) -> dict[str, Any]:
        """The training settings that it says, without defaults."""
        return _written(self.settings)

    @property
    def folder(self) -> Path:
        """Where its run goes."""
        return Path(self.settings.output_dir)

    @property
    def reward_specs(self) -> list[str]:
        """Every reward function and model: those that are trained on, then those that are only logged."""
        return self.reward_funcs + self.rewards.audit_funcs

    @property
    def uses_vllm(self) -> bool:
        """Whether completions come from vLLM; methods that generate none never use it."""
        return bool(getattr(self.settings, "use_vllm", False))


def load_recipe(path: Path, overrides: Sequence[str] = (), settings: Mapping[str, Any] | None = None) -> Recipe:
    """Parses a recipe file with overrides, which win over it; raises `RecipeError` at the first wrong key.

    `overrides` are words such as `["--learning_rate", "1e-6", "--dataset.max_rows", "100"]`, `settings` the same as
    values, `{"learning_rate": 1e-6, "dataset": {"max_rows": 100}}`, and win over both.
    """
    if sentence := missing("train", "Reading a recipe"):
        raise RecipeError(sentence)
    content = load_yaml(path)
    base = path.resolve().parent
    texts = text_keys(merge(content, parse_overrides(overrides)))
    content = merge(resolve_paths(content, base), resolve_paths(parse_overrides(overrides, texts), Path.cwd()))
    content = merge(content, resolve_paths(settings or {}, Path.cwd()))
    remember_secrets(content)
    return parse_recipe(content, path)


def load_for_evaluation(path: Path) -> Recipe:
    """Parses a recipe for what trains nothing: without TRL, settings of its classes stay unchecked, as written."""
    if not missing("train", "Reading a recipe"):
        return load_recipe(path)
    content = resolve_paths(load_yaml(path), path.resolve().parent)
    remember_secrets(content)
    return parse_recipe(content, path, trains=False)


def parse_recipe(content: Mapping[str, Any], path: Path, *, trains: bool = True) -> Recipe:
    """Validates the keys and values of a recipe; raises `RecipeError` at the first that is wrong.

    Where nothing `trains`, no source of TRL is read: its keys, and what keys say about each other, are left out.
    """
    method = method_of(content)
    content = _with_rows_of_environment(content)
    kind = dataset_class(method, content)
    if trains:
        check_keys(method, content, path, kind)
    content = _with_own_environment(content)
    model_keys = {key: content[key] for key in ModelSettings.model_fields if key in content}
    others = {key: value for key, value in content.items() if key not in model_keys}
    settings = _settings(method, others, path) if trains else _own_settings(method, others, path)
    has_rewards = METHODS[method].has_rewards
    reward_funcs = _reward_funcs(content) if has_rewards else []
    keys_of_rewards = {key: content[key] for key in RewardSettings.model_fields if key in content}
    if isinstance(audited := keys_of_rewards.get("audit_funcs"), str):
        keys_of_rewards["audit_funcs"] = [audited]
    rewards = read_block(RewardSettings, "", keys_of_rewards)
    recipe = Recipe(
        path=path,
        method=method,
        model=read_block(ModelSettings, "", model_keys),
        dataset=read_dataset(kind, content.get("dataset")),
        reward_funcs=reward_funcs,
        reward_kwargs=_reward_kwargs(content, [*reward_funcs, *rewards.audit_funcs]) if has_rewards else {},
        rewards=rewards,
        settings=settings,
        resolved=dict(content) | _written(settings),
    )
    if trains:
        _check_together(recipe)
    return recipe


def _with_own_environment(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Moves a class that `environment` names, as `--environment` does, to TRL's `environment_factory`."""
    if content.get("environment_factory") or not OWN_CLASS.fullmatch(str(content.get("environment"))):
        return content
    kept = {key: value for key, value in content.items() if key != "environment"}
    return kept | {"environment_factory": content["environment"]}


def _with_rows_of_environment(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Names the rows that an environment of others brings, where the recipe names none."""
    named, block = content.get("environment"), content.get("dataset", {})
    is_hosted = isinstance(named, str) and not OWN_CLASS.fullmatch(named)
    if not is_hosted or not isinstance(block, Mapping) or {"path", "mix"} & set(block):
        return content
    rows = {"path": named}
    if content.get("eval_strategy", "no") not in ("no", False) and "eval_path" not in block:
        rows |= {"split": "train", "eval_path": named, "eval_split": "eval"}
    return {**content, "dataset": rows | dict(block)}


def read_block(model: type[Block], prefix: str, values: Mapping[str, Any]) -> Block:
    """Validates the keys and values of a block, whose keys have a prefix such as `dataset.`."""
    for key, value in values.items():
        kinds = get_args(model.model_fields[key].annotation) or (model.model_fields[key].annotation,)
        if isinstance(value, bool) and bool not in kinds and any(kind in kinds for kind in (int, float)):
            # pydantic would read true as 1
            raise RecipeError(f"`{prefix}{key}` must be a number; got {shown(value)} (bool).")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError(first_problem(prefix.rstrip("."), error, list(values))) from error


def read_columns(text: str) -> dict[str, Any]:
    """Reads `--columns`, as `dataset.columns` of a recipe is read."""
    content = read_yaml_option("--columns", text, "{prompt: question}")
    return dict(read_block(RowDatasetConfig, "", {"path": "-", "columns": content}).columns)


def as_mapping(name: str, value: Any) -> Mapping[str, Any]:
    """Returns a block, or raises `RecipeError` if it is something else."""
    if not isinstance(value, Mapping):
        needs = " It needs at least `path`." if name.split(".")[0] == "dataset" else ""
        raise RecipeError(f"`{name}` must be a block of `key: value` lines, got {shown(value)}.{needs}")
    return value


def dataset_class(method: str, content: Mapping[str, Any]) -> type[DatasetConfig]:
    """Returns what the `dataset` block of a method may hold."""
    choose = METHODS[method].part("dataset_of")
    return choose(content) if choose else METHODS[method].part("dataset")


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
    names = [f"dataset.mix.{number}" for number in range(len(written))]
    entries = [
        read_block(MixedSet, f"{name}.", as_mapping(name, value)) for name, value in zip(names, written, strict=True)
    ]
    without = [number for number, entry in enumerate(entries) if entry.weight is None]
    if without and len(without) < len(entries):
        raise RecipeError(
            f"`dataset.mix.{without[0]}.weight` is missing, and others have one. Give every set a weight, or none: "
            "without weights each row of each set is there once."
        )
    return entries


def _settings(method: str, content: Mapping[str, Any], path: Path) -> Any:
    kind = settings_class(method)
    given = {key: value for key, value in content.items() if key in kind.model_fields}
    for key, value in given.items():
        if isinstance(value, Mapping):
            _refuse_quoted_numbers(key, _without_texts(value) if key == MODEL_BLOCK else value)
    settings: Any = read_block(kind, "", {"output_dir": OUR_FOLDER.format(method=method, name=path.stem)} | given)
    return settings.model_copy(update={"output_dir": os.path.expanduser(settings.output_dir)})


def _own_settings(method: str, content: Mapping[str, Any], path: Path) -> Any:
    """Validates the settings that a method adds to TRL's, which are put beside them as they are written."""
    kind = settings_class(method, with_parents=False)
    own = {key: value for key, value in content.items() if key in kind.model_fields}
    others = {"output_dir": OUR_FOLDER.format(method=method, name=path.stem)} | dict(content)
    return read_block(kind, "", own).model_copy(update={key: others[key] for key in others.keys() - own.keys()})


def _written(settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings if name in settings.model_fields_set}


def _without_texts(block: Mapping[str, Any]) -> dict[str, Any]:
    for name in OF_LOADING:
        if isinstance(value := block.get(name), int | float) and not isinstance(value, bool):
            raise RecipeError(f"`{MODEL_BLOCK}.{name}` must be a text; got the number {value}. Write it in quotes.")
    return {name: value for name, value in block.items() if name not in OF_LOADING}


def _refuse_quoted_numbers(key: str, value: Any) -> None:
    """Blocks such as `lr_scheduler_kwargs` are handed on untyped, so a quoted number would fail far from here."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            _refuse_quoted_numbers(f"{key}.{name}", item)
    elif isinstance(value, list):
        for item in value:
            _refuse_quoted_numbers(key, item)
    elif isinstance(value, str):
        try:
            meant = parse_word(value)
        except RecipeError:  # no number
            return
        if isinstance(meant, int | float) and not isinstance(meant, bool):
            raise RecipeError(f"`{key}` is the text {shown(value)}. Write the number without quotes.")


def _reward_funcs(content: Mapping[str, Any]) -> list[str]:
    value = content.get("reward_funcs")
    if not value and any(map(content.get, METHODS[method_of(content)].rewarded_by)):
        return []
    specs = [value] if isinstance(value, str) else value
    if not isinstance(specs, list) or not specs or not all(isinstance(spec, str) for spec in specs):
        raise RecipeError(
            f"`reward_funcs` must list rewards by name, for example [accuracy, format]; got {shown(value)}."
        )
    return specs


def _reward_kwargs(content: Mapping[str, Any], specs: Sequence[str]) -> dict[str, dict[str, Any]]:
    kwargs = content.get("reward_kwargs") or {}
    for name, settings in as_mapping("reward_kwargs", kwargs).items():
        block = as_mapping(f"reward_kwargs.{name}", settings)
        if name in REWARDS and name in specs:  # what is a text for somebody's own reward, only they know
            _refuse_quoted_numbers(f"reward_kwargs.{name}", block)
    return {name: dict(settings) for name, settings in kwargs.items()}


def _check_together(recipe: Recipe) -> None:
    check, settings = rules_of(recipe.method).together, recipe.settings
    weights = getattr(settings, "reward_weights", None)
    if weights is not None and len(weights) != len(recipe.reward_funcs):
        raise RecipeError(
            f"`reward_weights` has {len(weights)} numbers for {len(recipe.reward_funcs)} rewards "
            f"({', '.join(recipe.reward_funcs)}). Give one per reward."
        )
    if "logp_difference" in recipe.rewards.stop_on and not (
        recipe.uses_vllm and settings.vllm_importance_sampling_correction
    ):
        raise RecipeError(
            "`stop_on: [logp_difference]` would never end training: TRL compares log-probabilities of vLLM and "
            "trainer only with `use_vllm: true` and `vllm_importance_sampling_correction: true`. Set both, or drop it."
        )
    check_quantization(recipe.model, settings)
    try:
        check_reward_settings(recipe.rewards, recipe.reward_funcs)
        blind = [name for name in recipe.rewards.stop_on if alarm_of(name)[0].key.startswith("probe/")]
        if blind and recipe.dataset.probe is None:
            raise ValueError(f"`stop_on: [{blind[0]}]` looks at `dataset.probe_path`. Set it, or drop {blind[0]}.")
        check_blocks(recipe.method, settings)
        check_written(recipe.method, settings)
        check_together(settings, recipe.model, evaluates=bool(recipe.dataset.held_out or recipe.dataset.probe))
        if check is not None:
            check(settings)
    except ValueError as error:
        raise RecipeError(str(error)) from error


def text_keys(content: Mapping[str, Any]) -> frozenset[str]:
    """Lists them for the method of a recipe, with the names of their blocks; none if there is no such method."""
    method = content.get("method")
    if not isinstance(method, str) or method not in METHODS:
        return frozenset()
    found = {f"{MODEL_BLOCK}.{name}" for name in OF_LOADING}
    top = (settings_class(method), ModelSettings, RewardSettings)
    for kind, block in (*((each, "") for each in top), (dataset_class(method, content), "dataset.")):
        texts = (name for name, each in kind.model_fields.items() if each.annotation in (str, str | None))
        found |= {block + name for name in texts}
    return frozenset(found)


def method_of(content: Mapping[str, Any]) -> str:
    """Reads the key `method` of a recipe."""
    method = content.get("method")
    if isinstance(method, str) and method in METHODS:
        return method
    if method is None:
        found = _word_missing(content)
    elif isinstance(method, str):
        found = f"got {shown(method)}.{suggestion(method, METHODS)}"
    else:
        found = f"got {shown(method)}. Write one word, as in `method: {next(iter(METHODS))}`."
    raise RecipeError(f"`method` must be one of {', '.join(METHODS)}; {found}")


def _word_missing(content: Mapping[str, Any]) -> str:
    """Says what stands there in place of the key, and which line to add, with the method that a misspelt key names."""
    misspelt = next((key for key in content if key != "method" and suggestion(str(key), ["method"])), None)
    absent = "got None." if "method" in content else "it is missing."
    found = f"`{misspelt}` looks like it." if misspelt is not None else absent
    like = next((value for value in content.values() if isinstance(value, str) and value in METHODS), None)
    return f"{found} Add a line such as `method: {like or next(iter(METHODS))}`."
