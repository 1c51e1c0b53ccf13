"""Evaluates: finds the suite that is asked for, checks its options, and runs it."""

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.console import say
from align.errors import UserError
from align.evaluation.suite import RowSuite, Suite
from align.evaluation.suites import all_suites
from align.options import several
from align.secrets import mask_words

if TYPE_CHECKING:
    from align.evaluation.record import Record

BELOW, LOG = "evaluation", "metrics.jsonl"  # in the folder of a run
EVALUATED = "evaluated"  # beside the options: the name of the suite
_MADE = "Prompts are asked as they stand, or made of columns by `dataset.prompt_template` of a recipe: give that as "


def find_suite(options: Mapping[str, Any]) -> Suite:
    """Finds the suite: by its name, by what is evaluated, or by the rows."""
    suites = all_suites()
    if (name := options.get(EVALUATED)) is not None:
        if name not in suites:
            raise UserError(f"`suite` must be one of {', '.join(suites)}, got {name!r}.")
        return suites[name]
    if options.get("reward_model") is not None:
        return suites["reward_model"]
    named = several(options.get("suite"))
    if rows := [each for each in named if isinstance(suites.get(each), RowSuite)]:
        if len(named) > 1:
            raise UserError(
                f"`--suite {rows[0]}` reads rows of its own and cannot stand beside others, got {' '.join(named)}. "
                "Give one command for each."
            )
        return suites[rows[0]]
    return suites[_tell(options)]


def make_options(suite: Suite, options: Mapping[str, Any], given: Collection[str]) -> Any:
    """Fills the suite's dataclass; passes over values of other suites, and refuses those that were said (`given`)."""
    own = {each.name: each for each in fields(suite.options)}
    is_named = {EVALUATED, "suite"} if isinstance(suite, RowSuite) else {EVALUATED}  # by which it was found
    if wrong := sorted(set(given) - set(own) - is_named):
        options_of = {name: {each.name for each in fields(other.options)} for name, other in all_suites().items()}
        theirs = [name for name, names in options_of.items() if wrong[0] in names]
        if not theirs:
            raise TypeError(f"There is no option `{wrong[0]}`. Options of {suite.name}: {', '.join(own)}.")
        what = f"`--suite {suite.name}`" if isinstance(suite, RowSuite) else suite.rows
        what = "`--model`" if theirs == ["reward_model"] else what
        remedy = f"{_MADE}`--recipe`." if (suite.name, wrong[0]) == ("prompts", "prompt_template") else "Leave it out."
        raise UserError(f"`--{wrong[0]}` does not go with {what}. {remedy}")
    values = {name: options[name] for name in own if name in options}
    if missing := [name for name, each in own.items() if each.default is ... and values.get(name) is None]:
        raise TypeError(f"The suite {suite.name} needs `{missing[0]}`.")
    lists = {name: several(values.get(name)) for name, each in own.items() if "list[str]" in str(each.type)}
    return suite.options(**values | lists)


def run_suite(suite: Suite, options: Mapping[str, Any], given: Collection[str], command: tuple[str, ...]) -> Any:
    """Runs an evaluation; returns it with its folder `out`, record `found`, `page`, and its numbers' `card`."""
    from align.evaluation.on_card import find_card, put_on_card
    from align.report.evaluation import build_evaluation_report

    if options.get("on_bad_rows", "raise") not in ("raise", "skip"):
        raise UserError(f"`on_bad_rows` must be raise or skip, got {options['on_bad_rows']!r}.")
    filled = make_options(suite, options, given)
    out = _place(Path(filled.out))
    evaluation = suite.part("evaluation")(suite, replace(filled, out=out), given, command)
    model = str(options.get("model") or options.get("reward_model"))
    evaluation.card = find_card(model) if filled.card else None  # before anything is asked
    evaluation.out, evaluation.found = out, evaluation.run()
    evaluation.page = build_evaluation_report(out)
    if evaluation.card is not None:
        put_on_card(evaluation.card, evaluation.found)
    return evaluation


def evaluate(suite: str | None = None, /, **options: Any) -> "Record":
    """Evaluates a policy or a reward model, as `align eval` does, and returns what `evaluation.json` holds.

    Args:
        suite: Which one; without a name it is told by the options and the rows. (Questions have an option `suite`.)
        **options: Of the suite, see its dataclass.

    Raises:
        UserError: If it cannot be done.
        TypeError: If there is no such option, or one is missing.
    """
    options = {name: _text(value) for name, value in options.items()}
    found = find_suite(options | ({} if suite is None else {EVALUATED: suite}))
    return run_suite(found, options, set(options), ()).found


def _text(value: Any) -> Any:
    """Writes paths, also those of a list, as they could be given on a command line."""
    if isinstance(value, (list, tuple)):
        return [_text(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def command_words(options: Mapping[str, Any], given: set[str]) -> tuple[str, ...]:
    """Writes the options that were given as they could be given again."""
    found: list[str] = [options[EVALUATED]] if options.get(EVALUATED) else []
    for name in (name for name in options if name in given - {EVALUATED}):
        value = options[name]
        if isinstance(value, bool):
            found.append(f"--{name}" if value else f"--no-{name}")
        else:
            found += [f"--{name}", *(value if isinstance(value, list | tuple) else [str(value)])]
    return tuple(mask_words(found))


def _place(out: Path) -> Path:
    """Puts an evaluation below a run folder and not over it: both have a `report.html`."""
    if not (out / LOG).is_file():
        return out
    say(f"{out} is the folder of a run, so the evaluation goes to {out / BELOW}.")
    return out / BELOW


def _tell(options: Mapping[str, Any]) -> str:
    """Tells what a policy is asked by the options and, where these leave it open, by the rows of the file."""
    from align.data.columns import our_names, questions_in_columns
    from align.data.kinds import PAIRS, PROMPTS, first_columns, tell_kind
    from align.data.pairs.preference_adapters import PREFERENCE_ADAPTERS
    from align.evaluation.prompting import named_columns, prompts_made_by, recipe_path
    from align.recipe.recipe import load_for_evaluation

    if options.get("rewards"):
        return "prompts"
    data, adapter, split = options.get("data"), options.get("adapter"), options.get("split")
    if adapter in PREFERENCE_ADAPTERS:
        return "pairs"
    if data is None or adapter or options.get("suite"):
        return "questions"
    path = recipe_path(options.get("recipe"), str(options.get("model")))
    recipe = None if path is None else load_for_evaluation(path)
    columns = named_columns(recipe, data, split)
    names = our_names(first_columns(data, split), columns)
    kind = None if questions_in_columns(names) else tell_kind(names)
    if kind is None and prompts_made_by(recipe, data, split, columns) is not None:
        return "prompts"
    return {PROMPTS: "prompts", PAIRS: "pairs"}.get(kind, "questions") if kind else "questions"
