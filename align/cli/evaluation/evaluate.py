"""`align eval`: policies or reward models, by what the command line names."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from align.checks.memory import most_parameters
from align.cli.evaluation.divided import divided
from align.cli.evaluation.options import ByRewards, Measured, OfRewardModels, OfSuites, OnPairs, Prompts, Sampling
from align.cli.options import Media
from align.console import say
from align.errors import UserError
from align.threads import use_threads

OF_POLICIES = (Prompts, Sampling, Media, Measured, ByRewards, OnPairs, OfSuites)
OF_BOTH = ("recipe",)  # which names columns
POLICY_OPTIONS = tuple(
    {*(each.name for group in OF_POLICIES for each in fields(group)), "suite", "adapter"} - {*OF_BOTH}
)
REWARD_OPTIONS = tuple(each.name for each in fields(OfRewardModels))
BELOW = "evaluation"  # in the folder of a run
LOG = "metrics.jsonl"  # which every run has


def run(options: Mapping[str, Any], given: set[str]) -> None:
    """Evaluates, or asks one part of an evaluation.

    Args:
        options: Value of every option.
        given: Names of those that the command line named.
    """
    use_threads(most_parameters(filter(None, (options["model"], options["reward_model"]))))
    with divided(options, given) as (of_all, given_to_all):
        _evaluate(of_all, given_to_all)


def _on_card(options: Mapping[str, Any]) -> Callable[[Path], None]:
    """Finds the card before anything is asked, and returns what writes on it, told where the evaluation is."""
    if not options["card"]:
        return lambda _: None
    from align.evaluation.on_card import find_card, pushed_to, put_on_card
    from align.evaluation.record import EVALUATION_FILE, read_record

    path = find_card(options["model"] or options["reward_model"])

    def write(out: Path) -> None:
        put_on_card(path, read_record(out / EVALUATION_FILE))
        repo = pushed_to(path)
        more = f" `hf upload {repo} {path} README.md` puts them on the hub." if repo else ""
        print(f"The numbers are on the card {path}.{more}")

    return write


def _evaluate(options: Mapping[str, Any], given: set[str]) -> None:
    if (options["model"] is None) == (options["reward_model"] is None):
        raise UserError("Give `--model` (a policy) or `--reward_model`, one of the two.")
    if options["on_bad_rows"] not in ("raise", "skip"):
        raise UserError(f"`on_bad_rows` must be raise or skip, got {options['on_bad_rows']!r}.")
    kind, foreign = ("--model", REWARD_OPTIONS) if options["model"] is not None else ("--reward_model", POLICY_OPTIONS)
    if wrong := sorted(given & set(foreign)):
        raise UserError(f"`--{wrong[0]}` does not go with `{kind}`. Leave it out.")
    options = dict(options) | {"out": _place(Path(options["out"]))}
    write = _on_card(options)
    _measure(options, given)
    write(options["out"])


def _measure(options: Mapping[str, Any], given: set[str]) -> None:
    from align.cli.evaluation.tasks import KINDS, OF_REWARD_MODELS, check_options, naming_the_file, tell_task

    if options["model"] is None:
        options = dict(options) | {"columns": _of_recipe(options)["columns"]}
        with naming_the_file(options, *OF_REWARD_MODELS):
            _run_rewards(options, given)
        return
    from align.cli.evaluation.of_policies import run_pairs, run_prompts, run_questions, run_suite
    from align.cli.evaluation.row_suites import check_suite_options, find_row_suite

    if (suite := find_row_suite(options)) is not None:
        check_suite_options(suite, given)
        run_suite(suite, options, given)
        return
    options = dict(options) | _of_recipe(options)
    task = tell_task(options)
    check_options(task, given)
    with naming_the_file(options, KINDS[task]):
        {"questions": run_questions, "prompts": run_prompts, "pairs": run_pairs}[task](options, given)


def _of_recipe(options: Mapping[str, Any]) -> dict[str, Any]:
    """Takes what columns are named, and what makes prompts of them, from the recipe that the prompt is taken from."""
    from align.cli.evaluation.made_prompts import prompts_made_by
    from align.cli.evaluation.of_policies import named_columns
    from align.cli.evaluation.plan import recipe_path
    from align.recipe.recipe import load_recipe

    path = recipe_path(options["recipe"], options["model"] or options["reward_model"])
    if path is None or options["data"] is None:
        return {"columns": {}, "template": None}
    recipe = load_recipe(path)
    columns = named_columns(recipe, options["data"], options["split"])
    return {"columns": columns, "template": prompts_made_by(recipe, options["data"], options["split"], columns)}


def _place(out: Path) -> Path:
    """Puts an evaluation below a run folder and not over it: both have a `report.html`."""
    if not (out / LOG).is_file():
        return out
    say(f"{out} is the folder of a run, so the evaluation goes to {out / BELOW}.")
    return out / BELOW


def _run_rewards(options: Mapping[str, Any], given: set[str]) -> None:
    from align.cli.evaluation.reward_models import RewardWords, run
    from align.cli.evaluation.shortcuts import read_settings

    names = set(RewardWords.__dataclass_fields__) - {"baseline", "batch_size", "shortcuts"}
    if options["prompt_format"] not in ("auto", "messages", "data"):
        raise UserError(f"`prompt_format` must be auto, messages or data, got {options['prompt_format']!r}.")
    if options["probe_pairs"] < 1:
        raise UserError(f"`probe_pairs` must be at least 1, got {options['probe_pairs']}.")
    run(
        RewardWords(
            baseline=tuple(options["baseline"]),
            batch_size=options["batch_size"] or 16,
            shortcuts=read_settings(options, given),
            **{name: options[name] for name in names},
        )
    )
