"""Measures how often a reward refuses right answers and pays wrong ones."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from align.errors import UserError
from align.evaluation.statistics.conditions import Condition, read_condition
from align.evaluation.statistics.metrics import Estimate
from align.recipe.recipe import read_columns
from align.recipe.yaml_loader import read_yaml_option
from align.services.options import MeasuringErrors
from align.services.rewards import attackable_reward, chosen_rows, is_recipe, read_reward_rows
from rewards.attacks.paying import Unusable
from rewards.error_rates import Labelled, Measured, Rate, corrected, measure_apart, rate_of
from rewards.error_rates.measure import ANSWER
from rewards.reading.responses import completion_text
from rewards.running.contract import Limits, Settings
from rewards.running.workers import WorkerError

LABELS = {
    **dict.fromkeys(("true", "1", "1.0", "yes", "right", "correct"), True),
    **dict.fromkeys(("false", "0", "0.0", "no", "wrong", "incorrect"), False),
}
RESERVED = ("completion", "completions")  # TRL hands over what was sampled by these names
RENAMED = "labelled_{}"
BOUNDS = "`--fail_on` must bound `fnr` or `fpr`, as `fnr > 0.05`"


class MeasuredErrors(NamedTuple):
    """What was measured of a reward, and what follows from it."""

    found: Measured
    true_rate: Rate | None = None  # of a pass rate, corrected for both error rates
    met: tuple[str, ...] = ()  # conditions of `fail_on` that are told to hold
    unclear: str = ""  # why something that was asked for cannot be told


def measure_reward(subject: str, how: MeasuringErrors) -> MeasuredErrors:
    """Measures both error rates of a reward on rows with right answers, or with completions that are labelled."""
    if is_recipe(subject):
        raise UserError(f"{subject} is a recipe, and error rates are of one reward. Name one of its `reward_funcs`.")
    if how.data is None:
        raise UserError("`--data` is needed: rows with right answers, or with labelled completions.")
    if how.form and ANSWER not in how.form:
        raise UserError(f"`--form` must hold {ANSWER} where the answer stands, as 'Answer: {{}}'; got {how.form!r}.")
    bounds = [_bound(text) for text in how.fail_on or ()]
    passed = _passed(how.pass_rate) if how.pass_rate else None
    pairs = [_pair(text) for text in how.labelled or ()]
    taken = {RENAMED.format(name): name for name, _ in pairs if name in RESERVED}
    rows = read_reward_rows(how.data, {**read_columns(how.columns), **taken})
    for option, name in (("--gold", how.gold), ("--synonyms", how.synonyms)):
        if name and not any(name in row for row in rows):
            raise UserError(f"`{option}` names the column {name!r}, which the rows have not: {_names(rows)}.")
    labelled = [
        each
        for column, label in pairs
        for each in read_labelled(rows, RENAMED.format(column) if column in RESERVED else column, label)
    ]
    settings = Settings(chosen_rows(rows, how.limit), max_seconds=how.max_seconds, gold=how.gold)
    settings = settings._replace(form="text" if rows and isinstance(rows[0]["prompt"], str) else None)
    spec = attackable_reward(subject, read_yaml_option("--reward_kwargs", how.reward_kwargs, "{max_length: 200}"))
    asked: dict[str, Any] = {"form": how.form, "synonyms": how.synonyms}
    try:
        limits = Limits(how.time_limit)
        found = measure_apart(spec, settings, limits, labelled=labelled, right_from=how.right_from, **asked)
    except Unusable as unusable:
        raise UserError(f"`{unusable.reward}` cannot be measured: {unusable}") from unusable
    except (ValueError, WorkerError) as error:
        raise UserError(str(error)) from error
    return _concluded(found, bounds, passed)


def _concluded(found: Measured, bounds: Sequence[tuple[str, Condition]], passed: Rate | None) -> MeasuredErrors:
    best = found.labelled or found.made  # labelled completions are of the policy, and made ones of nobody
    met = tuple(
        f"{name} of {what} texts is {rate}, which is {text}."
        for text, bound in bounds
        for what, errors in (("made", found.made), ("labelled", found.labelled))
        if errors is not None
        for name, rate in (("fnr", errors.fnr), ("fpr", errors.fpr))
        if bound.name == name and bound.holds(Estimate(rate.share, rate.low, rate.high, rate.rows))
    )
    try:
        true_rate = corrected(passed, best.fpr, best.fnr) if passed and best else None
    except ValueError as error:
        return MeasuredErrors(found, None, met, str(error))
    return MeasuredErrors(found, true_rate, met)


def _pair(text: str) -> tuple[str, str]:
    column, _, label = text.rpartition(":")
    if not label:
        raise UserError(f"`--labelled` must be COMPLETION:LABEL, two columns of the rows; got {text!r}.")
    return column or "completion", label


def read_labelled(rows: Sequence[Mapping[str, Any]], column: str, label: str) -> list[Labelled]:
    """Reads the completions of one column and their labels in another, each one or a list of as many.

    Example:
        >>> rows = [{"c": ["4", "5"], "ok": [True, 0]}, {"c": "6", "ok": None}]
        >>> [(each.text, each.is_right) for each in read_labelled(rows, "c", "ok")]
        [('4', True), ('5', False)]
    """
    for name in (column, label):
        if not any(name in row for row in rows):
            raise UserError(f"`--labelled` names the column {name!r}, which the rows have not: {_names(rows)}.")
    return [each for number, row in enumerate(rows, 1) for each in _read_row(row, number, column, label)]


def _read_row(row: Mapping[str, Any], number: int, column: str, label: str) -> Iterator[Labelled]:
    """Reads the labelled completions of a row; those without a label, or without a text, are left out."""
    given, labels = row.get(column), row.get(label)
    if not isinstance(labels, list | tuple):
        given, labels = [given], [labels]
    if not isinstance(given, list | tuple) or len(given) != len(labels):
        raise UserError(f"Row {number}: `{label}` has {len(labels)} labels, and `{column}` not as many completions.")
    for completion, each in zip(given, labels, strict=True):
        known = LABELS.get(str(each).strip().casefold())
        if known is None and each is not None:
            raise UserError(
                f"Row {number}: `{label}` must be true or false, yes or no, 1 or 0 (or empty), got {each!r:.60}."
            )
        if known is not None and completion is not None:
            yield Labelled(row, completion if isinstance(completion, str) else completion_text(completion), known)


def _bound(text: str) -> tuple[str, Condition]:
    bound = read_condition(text, BOUNDS)
    if bound.name not in ("fnr", "fpr"):
        raise UserError(f"{BOUNDS}, got {bound.name!r}.")
    return text, bound


def _passed(text: str) -> Rate:
    match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
    if not match or not int(match[2]) > 0 or int(match[1]) > int(match[2]):
        raise UserError(f"`--pass_rate` must be passed completions of all, such as 310/512; got {text!r}.")
    count, of = int(match[1]), int(match[2])
    return (
        rate_of([True] * count + [False] * (of - count)) if of <= 10**6 else Rate(count / of, count / of, count / of)
    )


def _names(rows: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"`{name}`" for name in (rows[0] if rows else ()))
