"""Keys that a recipe may not hold, at its top and in its blocks: said all at once."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from align.errors import RecipeError
from align.methods import METHODS
from align.recipe.dataset import DatasetConfig, MixedSet
from align.recipe.keys import REWARD_KEYS, top_names
from align.recipe.reward_settings import short_name
from align.recipe.rules import suggestion


def unknown_keys(model: type[BaseModel], prefix: str, values: Mapping[str, Any]) -> list[str]:
    """Words each key that a block may not hold."""
    known = list(model.model_fields)
    said = {
        "columns": " Here each column has a key of its own, such as `text`.",  # as with outcomes
        "fraction": " It is `weight` here, and weights need not sum to 1.",  # which TRL's scripts reach otherwise
        "name": " The subset of a hub data set goes into `path`, as in `owner/name:subset`.",
    }
    return [
        f"Unknown key `{prefix}{key}`.{said.get(key) or said_elsewhere(str(key), ()) or suggestion(str(key), known)}"
        for key in values
        if key not in known
    ]


def check_keys(method: str, content: Mapping[str, Any], path: Path, dataset: type[DatasetConfig]) -> None:
    """Refuses keys that a recipe of the method does not have, and says whose they are."""
    problems = [*_at_the_top(method, content, path, dataset), *_in_dataset(content.get("dataset"), dataset)]
    if METHODS[method].has_rewards:
        problems += _in_reward_kwargs(content)
    if problems:
        raise RecipeError(" ".join(problems))


def _at_the_top(method: str, content: Mapping[str, Any], path: Path, dataset: type[DatasetConfig]) -> Iterator[str]:
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
        others = ", ".join(name for name in METHODS if name != method and key in top_names(name))
        hint = f" It is a setting of {others}." if others else ""
        hint += said_elsewhere(str(key), known)
        yield f"Unknown key `{key}` in {path.name}.{hint or _meant(str(key), known, dataset)}"


def _meant(key: str, known: Collection[str], dataset: type[DatasetConfig]) -> str:
    """Suggests a key of the top or, of the same name or where none is near, one of the `dataset` block."""
    inner = suggestion(key, dataset.model_fields).replace("'", "'dataset.", 1)
    is_inner = key.lower().replace("-", "_") in dataset.model_fields
    return inner if is_inner else suggestion(key, sorted(known)) or inner


def _in_dataset(block: Any, kind: type[DatasetConfig]) -> Iterator[str]:
    if not isinstance(block, Mapping):
        return
    yield from unknown_keys(kind, "dataset.", block)
    yield from _in_columns(block, "dataset.", kind)
    sets = block.get("mix")
    for number, entry in enumerate(sets if isinstance(sets, list) else ()):
        if isinstance(entry, Mapping):
            yield from unknown_keys(MixedSet, f"dataset.mix.{number}.", entry)
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
    "torch_dtype": "dtype",
    "lr": "learning_rate",
    "steps": "max_steps",
    "eval_batch_size": "per_device_eval_batch_size",
    "grad_accum": "gradient_accumulation_steps",
    **dict.fromkeys(("model", "model_name", "model_id", "model_path"), "model_name_or_path"),
    **dict.fromkeys(("epochs", "num_epochs"), "num_train_epochs"),
    **dict.fromkeys(("batch_size", "train_batch_size", "micro_batch_size"), "per_device_train_batch_size"),
    **dict.fromkeys(("group_size", "rollout_n"), "num_generations"),
    **dict.fromkeys(("kl_coef", "kl_beta", "kl_loss_coef"), "beta"),
    **dict.fromkeys(("rewards", "reward", "reward_fn", "reward_functions", "reward_model"), "reward_funcs"),
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
    "resume": "A run is continued by an option of the command: `align train RECIPE --resume auto`.",
    "then": "Two runs are two commands: the second recipe names the folder of the first, in `model_name_or_path` or "
    "`reward_funcs`.",
    "time_limit": "It is an option of `align train`: `align train RECIPE --time_limit 3h50m`.",
    "allow_changed_data": "It is an option of `align train`.",
    "peft_config": "LoRA is `use_peft: true`, with `lora_r`, `lora_alpha` and `lora_target_modules`.",
}
# Keys that were taken out since no lab spoke for them: how they begin, why, and what to do instead.
_LEFT = {
    "lfu_": "SFT of half as many steps drifts as little. Remove it, and lower `max_steps`.",
    "consistency_": "Training on perturbed prompts does about as well. Remove it; with `method: grpo` write "
    "`dataset: {perturb: [distractor]}`, and for others have `rewards.perturbed_rows` make such rows.",
    **dict.fromkeys(("odin_coef", "num_heads", "vib_coef"), "No gain lasted on both cues. Remove it."),
    **dict.fromkeys(("disagreement_coef", "unlabelled_path"), "Two heads had no gain that lasted. Remove it."),
    "destroyed_ties": "No gain lasted on both cues. Remove it; ties are made by `align augment`.",
    "ddpo_gamma": "DDPO was there to be compared with. Remove it.",
    "canary_steps": "Remove it; `stop_on: [logp_difference]` watches the same by TRL's numbers.",
}


def said_elsewhere(key: str, known: Collection[str]) -> str:
    """Words what a recipe says in place of a key from elsewhere, empty for a key that is not known.

    Example:
        >>> said_elsewhere("lr", {"learning_rate"})
        ' A recipe says `learning_rate`.'
    """
    if key in _SENTENCES:
        return f" {_SENTENCES[key]}"
    if left := next((why for start, why in _LEFT.items() if key.startswith(start)), None):
        return f" It was taken out. {left}"
    return f" A recipe says `{OTHER_WORDS[key]}`." if OTHER_WORDS.get(key) in known else ""
