"""What a policy is evaluated on: told by the options and the rows, with what does not go with it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from align.cli.evaluation.options import ByRewards, OfSuites, OnPairs
from align.cli.evaluation.supported import name_the_file
from align.data.columns import our_names, questions_in_columns
from align.data.kinds import PAIRS, PROMPTS, QUESTIONS, REWARD_BENCH_2, Kind, first_columns, tell_kind
from align.data.pairs.preference_adapters import PREFERENCE_ADAPTERS
from align.errors import DataError, UserError

BY_REWARDS = {each.name for each in fields(ByRewards)}
ON_PAIRS = {each.name for each in fields(OnPairs)}
OF_SUITES = {each.name for each in fields(OfSuites)}
# What says how questions are asked, and what is measured of them.
OF_QUESTIONS = {"suite", "adapter", "prompt_template", "system_prompt", "conversational", "num_shuffles",
                "common_group", "counter_group", "judge", "verifier", "verifier_threshold"}  # fmt: skip
NOT_OF = {
    "questions": BY_REWARDS | ON_PAIRS | OF_SUITES,
    "prompts": OF_QUESTIONS | ON_PAIRS | OF_SUITES,
    "pairs": (OF_QUESTIONS - {"judge", "adapter"}) | BY_REWARDS | OF_SUITES | {"num_samples", "backend"},
}
KINDS = {"questions": QUESTIONS, "prompts": PROMPTS, "pairs": PAIRS}
OF_REWARD_MODELS = (PAIRS, REWARD_BENCH_2)
_REMEDIES = {
    (
        "prompts",
        "prompt_template",
    ): "Prompts are asked as they stand, or made of columns by `dataset.prompt_template` of "
    "a recipe: give that as `--recipe`."
}
_ASKED = {"questions": "multiple-choice questions", "prompts": "prompts and rewards", "pairs": "pairs"}


def tell_task(options: Mapping[str, Any]) -> str:
    """Tells what a policy is asked by the options and, where these leave it open, by the rows of the file."""
    if options["rewards"]:
        return "prompts"
    if options["adapter"] in PREFERENCE_ADAPTERS:
        return "pairs"
    if options["data"] is None or options["adapter"] or options["suite"]:
        return "questions"
    names = our_names(first_columns(options["data"], options["split"]), options["columns"])
    kind = None if questions_in_columns(names) else tell_kind(names)
    if kind is None and options.get("template") is not None:
        return "prompts"
    return {PROMPTS: "prompts", PAIRS: "pairs"}.get(kind, "questions") if kind else "questions"


def check_options(task: str, given: set[str]) -> None:
    """Refuses options that say nothing about a task.

    Raises:
        UserError: At the first of them.
    """
    if wrong := sorted(given & NOT_OF[task]):
        remedy = _REMEDIES.get((task, wrong[0]), "Leave it out.")
        raise UserError(f"`--{wrong[0]}` does not go with {_ASKED[task]}. {remedy}")


@contextmanager
def naming_the_file(options: Mapping[str, Any], *kinds: Kind) -> Iterator[None]:
    """Says what a file is that was read as something else."""
    try:
        yield
    except DataError as error:
        path, columns = options["data"], options.get("columns", {})
        found = "" if path is None or options["adapter"] else name_the_file(path, options["split"], kinds, columns)
        if not found:
            raise
        raise DataError(f"{found} Read as {kinds[0].name}: {error}") from error
