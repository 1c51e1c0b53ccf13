"""What merged models are worth beside their parents, from one evaluation of all of them; and which one to take."""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from align.errors import UserError
from align.evaluation.record import Record
from align.evaluation.record.merging import MergedModel
from align.evaluation.statistics.glossary import better_of, explain
from align.evaluation.statistics.item_means import mean_difference
from align.evaluation.statistics.metrics import Estimate

_HALF = 0.5
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(r"\s*(\S+)\s*(<=|>=|<|>)\s*(\S+)\s*")


class Values(NamedTuple):
    """The main metric of a model by item, and the share of an item's samples that are right; None if no value is."""

    by_id: Mapping[str, float]
    right: Mapping[str, float] | None


class Rule(NamedTuple):
    """What to take: the best of a metric, where others lie within bounds."""

    text: str
    metric: str
    bounds: tuple[tuple[str, str, float], ...]


def main_metric(record: Record) -> str:
    """Names the metric that models are compared by: accuracy, or the first reward."""
    return f"reward/{record.about.suites[0]}" if record.about.rewards else "accuracy"


def item_values(record: Record, rows: Iterable[Mapping[str, Any]]) -> dict[str, Values]:
    """Averages the main metric over the samples of each item, by model."""
    if not record.about.rewards:
        return {name: Values(each, each) for name, each in _means(rows, "correct", None).items()}
    rows, column, right_from = list(rows), main_metric(record), record.about.rewards[0].right_from
    right = {} if right_from is None else _means(rows, column, right_from)
    return {name: Values(each, right.get(name)) for name, each in _means(rows, column, None).items()}


def compare(name: str, values: Mapping[str, Values], base: str, tuned: str) -> dict[str, Any]:
    """Compares a model with both parents on the same items; one is right if more than half of its samples are."""
    ids = list(values[base].by_id)
    ours, first, second = (np.array([values[each].by_id[id] for id in ids]) for each in (name, base, tuned))
    found: dict[str, Any] = {
        "against_base": None if name == base else _difference(ours, first),
        "against_tuned": None if name == tuned else _difference(ours, second),
        "gained": None,
        "lost": None,
    }
    shares = [values[each].right for each in (name, base, tuned)]
    if None not in shares:
        table = np.array([[share[id] for id in ids] for share in shares if share is not None])
        right, known = table > _HALF, ~np.isnan(table).any(axis=0)
        found["gained"] = [ids[i] for i in np.flatnonzero(known & right[0] & ~right[1] & ~right[2])]
        found["lost"] = [ids[i] for i in np.flatnonzero(known & ~right[0] & right[1] & right[2])]
    return found


def read_rule(text: str) -> Rule:
    """Reads `METRIC`, or `METRIC where METRIC < NUMBER and ...`.

    Example:
        >>> read_rule("accuracy where drift_kl < 0.1 and worst_group >= .5")[1:]
        ('accuracy', (('drift_kl', '<', 0.1), ('worst_group', '>=', 0.5)))
    """
    metric, _, rest = text.strip().partition(" where ")
    bounds = []
    for part in rest.split(" and ") if rest.strip() else ():
        match = _CONDITION.fullmatch(part)
        try:
            bounds.append((match[1], match[2], float(match[3])))  # type: ignore[index]
        except (TypeError, ValueError):
            raise UserError(
                f"`--pick` must read `METRIC where METRIC < NUMBER and ...`, got {part.strip()!r} in {text!r}."
            ) from None
    if not metric.strip() or " " in metric.strip():
        raise UserError(
            f"`--pick` must begin with one metric, such as `accuracy where worst_group > 0.5`, got {text!r}."
        )
    return Rule(text, metric.strip(), tuple(bounds))


def pick(rule: Rule, models: Sequence[MergedModel], sides: Mapping[str, str] = {}) -> MergedModel | None:
    """Returns the model with the best value of the rule's metric among those within its bounds; None if none is.

    Of equal values the one nearest to the base is taken, which changes least. A model without a value is none of them.
    `sides` says which values of a reward are better, by its name.
    """
    known = {name for model in models for name in model.metrics}
    for name in (rule.metric, *(bound[0] for bound in rule.bounds)):
        if name not in known:
            raise UserError(f"`--pick` names {name!r}, which was not measured. There are: {', '.join(sorted(known))}.")
    better = better_of(explain(rule.metric), rule.metric, sides)
    if better is None:
        raise UserError(
            f"`--pick` takes the best {rule.metric!r}, and it is not known whether more or less of it is better. "
            f"Pick by another metric, and bound this one: `METRIC where {rule.metric} < NUMBER`."
        )
    sign = 1 if better == "higher" else -1
    fits = [
        model
        for model in models
        if rule.metric in model.metrics
        and not math.isnan(model.metrics[rule.metric].value)
        and all(
            name in model.metrics and _COMPARE[how](model.metrics[name].value, bound)
            for name, how, bound in rule.bounds
        )
    ]
    return max(fits, key=lambda model: (sign * model.metrics[rule.metric].value, -model.alpha), default=None)


def _difference(ours: Any, theirs: Any) -> Estimate:
    both = np.concatenate([ours, theirs])
    within = bool(((both >= 0) & (both <= 1) | np.isnan(both)).all())
    return mean_difference(ours, theirs, (0.0, 1.0) if within else None)


def _means(rows: Iterable[Mapping[str, Any]], column: str, right_from: float | None) -> dict[str, dict[str, float]]:
    sums: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        found = sums.setdefault(str(row["model"]), {}).setdefault(str(row["id"]), [])
        if (value := row[column]) is not None and not math.isnan(value):
            found.append(float(value if right_from is None else value >= right_from))
    return {
        name: {id: sum(each) / len(each) if each else math.nan for id, each in by_id.items()}
        for name, by_id in sums.items()
    }
