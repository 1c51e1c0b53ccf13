"""Each way to evaluate a policy, from the values of the options: on questions, on prompts, on pairs and by a suite."""

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.cli.evaluation.options import Prompts, Sampling
from align.cli.options import Media
from align.errors import UserError
from align.secrets import mask_words

if TYPE_CHECKING:
    from align.evaluation.suites.suite import RowSuite

PROMPT_OPTIONS = tuple(each.name for each in fields(Prompts) if each.name != "recipe")
DECODING_OPTIONS = tuple(each.name for each in fields(Sampling))
MEDIA_OPTIONS = tuple(each.name for each in fields(Media))
_READING = ("data", "split", "max_rows", "on_bad_rows")
_SAME = (*_READING, "adapter", "judge", "verifier", "verifier_threshold")


def run_questions(options: Mapping[str, Any], given: set[str]) -> None:
    """Asks policies multiple-choice questions."""
    from align.cli.evaluation.plan import prompting
    from align.cli.evaluation.policies import run
    from align.cli.evaluation.policy_words import PolicyWords
    from align.cli.media import media_settings
    from align.evaluation.policies.suite import SuiteSettings

    if math.isnan(options["verifier_threshold"]):
        raise UserError("`verifier_threshold` must be a number, got nan. Rewards above it are accepted.")
    chosen = {name: options[name] for name in PROMPT_OPTIONS if name in given}
    prompts, recipe = prompting(options["recipe"], options["model"], chosen)
    decoding = _decoding(options, prompts.max_new_tokens)
    media = {name: options[name] for name in MEDIA_OPTIONS if name in given}
    suites = {"suites": tuple(options["suite"])} if options["suite"] else {}
    settings = SuiteSettings(
        **suites, decoding=decoding, num_shuffles=options["num_shuffles"], seed=options["seed"], pair=_pair(options)
    )
    run(
        PolicyWords(
            models=(options["model"], *options["baseline"]),
            settings=settings,
            named_suites=bool(options["suite"]),
            prompting=prompts,
            columns=options["columns"],
            media=media_settings(recipe, options["data"], media),
            recipe=recipe,
            out=Path(options["out"]),
            engine=_engine(options),
            command=_command(options, given),
            **{name: options[name] for name in _SAME},
        )
    )


def run_prompts(options: Mapping[str, Any], given: set[str]) -> None:
    """Asks policies prompts, and rewards about their answers."""
    from align.cli.evaluation.made_prompts import say_made
    from align.cli.evaluation.measured_rewards import RewardWords, find_rewards
    from align.cli.evaluation.plan import prompt_settings, recipe_path
    from align.cli.evaluation.prompts import PromptWords, run
    from align.cli.media import media_settings
    from align.recipe.recipe import load_recipe

    if options["data"] is None:
        raise UserError("There is nothing to ask. Give `--data` with prompts and what rewards read.")
    path = recipe_path(options["recipe"], options["model"])
    recipe = None if path is None else load_recipe(path)
    if options["template"] is not None and path is not None:
        say_made(options["template"], path)
    chosen: dict[str, Any] = {
        name: options[name] for name in ("think_tag", "answer_tag", "max_new_tokens") if name in given
    }
    settings = prompt_settings(recipe, chosen)
    reward_words = RewardWords(options["rewards"], **{name: options[name] for name in RewardWords._fields[1:]})
    media = {name: options[name] for name in MEDIA_OPTIONS if name in given}
    run(
        PromptWords(
            models=(options["model"], *options["baseline"]),
            called=find_rewards(reward_words, recipe, settings.response_format),
            decoding=_decoding(options, settings.max_new_tokens),
            media=media_settings(path, options["data"], media),
            columns=options["columns"],
            template=options["template"],
            pass_at_k=tuple(map(_whole, options["pass_at_k"])),
            recipe=path,
            engine=_engine(options),
            command=_command(options, given),
            **{name: options[name] for name in (*_READING, "right_from", "out")},
        )
    )


def run_pairs(options: Mapping[str, Any], given: set[str]) -> None:
    """Reads pairs with policies."""
    from align.cli.evaluation.pairs import PairWords, find_reference, run
    from align.cli.evaluation.plan import prompt_settings, recipe_path
    from align.cli.media import media_settings
    from align.recipe.recipe import load_recipe

    if options["data"] is None:
        raise UserError("There is nothing to read. Give `--data` with pairs.")
    path = recipe_path(options["recipe"], options["model"])
    recipe = None if path is None else load_recipe(path)
    chosen: dict[str, Any] = {name: options[name] for name in ("max_new_tokens",) if name in given}
    media = {name: options[name] for name in MEDIA_OPTIONS if name in given}
    models = (options["model"], *options["baseline"])
    run(
        PairWords(
            models=models,
            reference=find_reference(options["reference"], models, recipe),
            decoding=_decoding(options, prompt_settings(recipe, chosen).max_new_tokens),
            columns=options["columns"],
            media=media_settings(path, options["data"], media),
            recipe=path,
            engine=_engine(options),
            command=_command(options, given),
            **{name: options[name] for name in (*_READING, "adapter", "judge", "out")},
        )
    )


def run_suite(suite: "RowSuite", options: Mapping[str, Any], given: set[str]) -> None:
    """Measures policies by a suite that has rows of its own."""
    from align.cli.evaluation.own_rows import SuiteWords, run
    from align.cli.evaluation.pairs import find_reference
    from align.cli.evaluation.plan import prompting, recipe_path
    from align.evaluation.suites.suite import Reading
    from align.recipe.recipe import load_recipe

    chosen = {name: options[name] for name in PROMPT_OPTIONS if name in given and name not in suite.options}
    prompts, recipe = prompting(options["recipe"], options["model"], chosen)
    models = (options["model"], *options["baseline"])
    helpers = {name: options[name] for name in ("control", "judge") if name in suite.options}
    reference = None
    if suite.has_reference:
        path = recipe_path(options["recipe"], options["model"])
        reference = find_reference(options["reference"], models, None if path is None else load_recipe(path))
    samples, temperature = suite.samples
    asks_greedily = "temperature" in given and options["temperature"] == 0  # then once is enough
    ours = {"num_samples": samples, "temperature": temperature} if samples > 1 and not asks_greedily else {}
    decoding = _decoding(dict(options) | {k: v for k, v in ours.items() if k not in given}, prompts.max_new_tokens)
    run(
        SuiteWords(
            suite=suite,
            models=models,
            reading=Reading(
                **{name: options[name] for name in (*_READING[1:], "seed", "adapter")},
                path=options["data"],
                recipe=recipe,
            ),
            out=Path(options["out"]),
            prompting=prompts,
            decoding=decoding,
            engine=_engine(options),
            options={name: options[name] for name in suite.options},
            seed=options["seed"],
            reference=reference,
            recipe=recipe,
            command=_command(options, given),
            **helpers,
        )
    )


def named_columns(recipe: Any, data: str, split: str | None) -> Mapping[str, Any]:
    """Returns the recipe's names of columns, if the rows are such rows; others have our names."""
    from align.data.columns import columns_meant
    from align.data.kinds import first_columns

    named = getattr(recipe and recipe.dataset, "columns", {})
    return columns_meant(named, first_columns(data, split)) if named else {}


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise UserError(f"`--pass_at_k` takes whole numbers, got {word!r}.") from None


def _engine(options: Mapping[str, Any]) -> Any:
    from align.cli.evaluation.asked_models import Engine

    size = 32 if options["batch_size"] is None else options["batch_size"]
    return Engine(options["backend"], options["dtype"], options["device"], size)


def _decoding(options: Mapping[str, Any], max_new_tokens: int) -> Any:
    from align.models.policies.asking import Decoding

    chosen = {name: options[name] for name in DECODING_OPTIONS}
    return Decoding(max_new_tokens=max_new_tokens, seed=options["seed"], **chosen)


def _command(options: Mapping[str, Any], given: set[str]) -> tuple[str, ...]:
    """Writes the options that were given as they could be given again."""
    found: list[str] = []
    for name in (name for name in options if name in given):
        value = options[name]
        if isinstance(value, bool):
            found.append(f"--{name}" if value else f"--no-{name}")
        else:
            found += [f"--{name}", *([str(value)] if not isinstance(value, tuple) else value)]
    return tuple(mask_words(found))


def _pair(options: Mapping[str, Any]) -> tuple[str, str] | None:
    pair = options["common_group"], options["counter_group"]
    if pair == (None, None):
        return None
    if None in pair:
        raise UserError("`--common_group` and `--counter_group` go together. Give both.")
    return pair
