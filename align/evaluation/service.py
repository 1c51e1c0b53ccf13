"""Evaluates: finds the suite that is asked for, checks its options, and runs it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from align.console import say
from align.data.columns import our_names, questions_in_columns
from align.data.kinds import first_columns, tell_kind
from align.errors import UserError
from align.evaluation.engine import Evaluation
from align.evaluation.prompting import named_columns, prompts_made_by, recipe_path
from align.evaluation.record import Record
from align.evaluation.results import save_evaluation, warn_of_lacking
from align.evaluation.suite import Suite
from align.evaluation.suites import all_suites
from align.options import several
from align.recipe.recipe import load_for_evaluation
from align.report.evaluation.page import PAGE, evaluation_view
from align.report.page import write_page
from align.secrets import mask_words

BELOW, LOG = "evaluation", "metrics.jsonl"  # in the folder of a run
_MADE = "Prompts are asked as they stand, or made of columns by `dataset.prompt_template` of a recipe: give that as "
Group = TypeVar("Group")


@dataclass(frozen=True)
class Evaluated:
    """An evaluation that was made: its record, where everything is, and what is to be known beside."""

    record: Record
    out: Path
    page: Path
    verdict: Sequence[str]  # sentences that the page begins with, and what few items leave open
    notes: Sequence[str]
    items: str  # what stands in `items.parquet`


def find_suite(asked: Any) -> Suite[...]:
    """Finds the suite by its name in `suite`, by what is given for one suite only, or by the rows.

    `asked` has the options of all suites.
    """
    suites, named = all_suites(), several(asked.suite)
    if found := [each for each in named if each in suites]:
        if len(named) > 1:
            raise UserError(
                f"`--suite {found[0]}` reads rows of its own and cannot stand beside others, got {' '.join(named)}. "
                "Give one command for each."
            )
        return suites[found[0]]
    told = [each for each in suites.values() if each.told_by and getattr(asked, each.told_by)]
    return told[0] if told else _tell(asked, list(suites.values()))


def narrow(suite: Suite[...], asked: Any, given: Collection[str]) -> Any:
    """Fills the suite's options with those among the options of all; refuses what was `given` and is not for it."""
    known = {name: _names(other) for name, other in all_suites().items()}
    own, is_named = known[suite.name], suite.name in several(asked.suite)
    if wrong := sorted({*given} - own - ({"suite"} if is_named else set())):
        of_models = all("model" in names for names in known.values() if wrong[0] in names)
        what = f"`--suite {suite.name}`" if is_named else suite.rows if of_models else "`--model`"
        is_made = wrong[0] == "prompt_template" and "prompts" in suite.reads
        raise UserError(
            f"`--{wrong[0]}` does not go with {what}. {f'{_MADE}`--recipe`.' if is_made else 'Leave it out.'}"
        )
    return suite.options(**{name: getattr(asked, name) for name in own})


def evaluate(suite: Suite[...], options: Any, given: Collection[str]) -> Record:
    """Evaluates, as `align eval` does, and returns what `evaluation.json` holds."""
    return run_suite(suite, options, given).record


def run_suite(suite: Suite[...], options: Any, given: Collection[str], command: Sequence[str] = ()) -> Evaluated:
    """Runs an evaluation whose options are those of the suite, of which `given` were said."""
    options = _plain(options)
    if missing := [each.name for each in fields(options) if getattr(options, each.name) is ...]:
        raise TypeError(f"The suite {suite.name} needs `{missing[0]}`.")
    if options.on_bad_rows not in ("raise", "skip"):
        raise UserError(f"`on_bad_rows` must be raise or skip, got {options.on_bad_rows!r}.")
    out = options.out
    if (out / LOG).is_file():  # not over the run: both have a `report.html`
        say(f"{out} is the folder of a run, so the evaluation goes to {out / BELOW}.")
        out = out / BELOW
    evaluation = Evaluation(suite, replace(options, out=out), given, command)
    found = evaluation.run()
    found.record.warnings += warn_of_lacking(found.record.comparisons)
    save_evaluation(out, found)
    view = evaluation_view(out, found.record)
    page = write_page(PAGE, out / "report.html", title=view.title, view=view)
    return Evaluated(found.record, out, page, [*view.verdict, *view.few], found.notes, suite.items)


def _plain(options: Group) -> Group:
    """Writes paths as they could be given on a command line, and lists as tuples; one text is a list of it."""
    found: dict[str, Any] = {}
    for each in fields(options):  # type: ignore[arg-type]
        value = getattr(options, each.name)
        if "list[str]" in str(each.type):
            found[each.name] = tuple(map(str, several(str(value) if isinstance(value, Path) else value)))
        elif each.name != "out" and isinstance(value, Path):
            found[each.name] = str(value)
        elif each.name == "out" and isinstance(value, str):
            found[each.name] = Path(value)
    return replace(options, **found)  # type: ignore[type-var]


def command_words(suite: str | None, options: Any, given: Collection[str]) -> tuple[str, ...]:
    """Writes the options that were given as they could be given again."""
    found: list[str] = [suite] if suite else []
    for name in (each.name for each in fields(options) if each.name in given):
        value = getattr(options, name)
        if isinstance(value, bool):
            found.append(f"--{name}" if value else f"--no-{name}")
        else:
            found += [f"--{name}", *(value if isinstance(value, list | tuple) else [str(value)])]
    return tuple(mask_words(found))


def _tell(asked: Any, suites: Sequence[Suite[...]]) -> Suite[...]:
    """Tells what a policy is asked by the options and, where these leave it open, by the rows of the file."""
    data, split, first = asked.data, asked.split, suites[0]
    if by_schema := [each for each in suites if each.adapters and asked.adapter in each.part("adapters")]:
        return by_schema[0]
    if data is None or asked.adapter or asked.suite:
        return first
    path = recipe_path(asked.recipe, str(asked.model))
    recipe = None if path is None else load_for_evaluation(path)
    columns = named_columns(recipe, data, split, asked.columns)
    names = our_names(first_columns(data, split), columns)
    kind = None if questions_in_columns(names) else tell_kind(names)
    name = "prompts" if kind is None and prompts_made_by(recipe, data, split, columns) else kind and kind.name
    return next((each for each in suites if name in each.reads and "model" in _names(each)), first)


def _names(suite: Suite[...]) -> set[str]:
    return {each.name for each in suite.fields}
