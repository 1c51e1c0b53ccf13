"""Logs side by side: documents matched by what they say, and differences on the same ones with their intervals.

What one log lacks is an outcome of it: a document that the other log has, an answer to it, or a whole metric. Nobody
can know whether it was left out because it went wrong, so no verdict gets stronger by it.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from align.errors import DataError, UserError
from align.evaluation.record.cells import Cell, Line, Tabled
from align.evaluation.statistics.conditions import read_condition
from align.evaluation.statistics.item_means import (
    Codes,
    around,
    bounds_of,
    mean_difference,
    mean_of_items,
    unbounded,
)
from align.evaluation.statistics.metrics import SIGNIFICANCE, Estimate, Values, mcnemar, student
from align.logs.changed import Changed
from align.logs.log import Log, Task
from align.logs.missing import ANYTHING, Missing, fillings, scales_differ
from align.whole_files import as_json, write_whole

COMPARISON_FILE = "comparison.json"
SHOWN = 20  # items of each list
POWER = 0.8  # with which the items that are needed would tell the difference that was seen
_Z_POWER = 0.8416212335729143  # the normal quantile of 0.8


class Difference(BaseModel):
    """A metric of a task: a log minus the first, on the documents that either has."""

    model_config = ConfigDict(strict=True)

    task: str
    metric: str
    log: str
    mean: Cell  # of this log, on all its documents
    first: Cell  # of the first log, on all its documents
    difference: Cell
    won: int
    lost: int
    tied: int
    p_value: float  # McNemar's where each is right or wrong and stands alone, else of a t-test
    is_exact: bool
    adjusted: float = 1.0  # for all differences that are shown
    unscored: "Unscored | None" = None  # if any document lacks a score
    of_scales: bool = False  # one log has shares, the other more: the difference says nothing
    needed: int | None  # documents (or prompts) that would tell this difference at 5 %, with a power of 0.8
    groups: dict[str, Cell] = {}
    wins: list[Changed] = []
    losses: list[Changed] = []

    @property
    def is_sure(self) -> bool:
        """Tells whether the difference is there also when all that were looked at are counted."""
        return self.adjusted < SIGNIFICANCE and self.difference.verdict() is not None


class Unscored(BaseModel):
    """Documents that lack a score of a metric in one of the logs or both."""

    first: int
    this: int
    first_absent: int = 0  # of them, which the first log does not have
    this_absent: int = 0
    first_there: Cell  # what the first log has where this one lacks scores
    there: Cell  # the other way round
    least: float  # the difference with this log at its worst there, and the first at its best; nan if nobody knows
    most: float
    names: list[str]
    held: list[str]  # some of what stands in place of a number


class Matched(BaseModel):
    """How the documents of a task were matched with those of the first log."""

    task: str
    log: str
    both: int
    only_first: int
    only_this: int
    not_in_this: list[str] = []
    not_in_first: list[str] = []
    averaged: int = 0  # documents with several answers, in either log


class Comparison(Tabled, BaseModel):
    """Everything that `comparison.json` holds."""

    model_config = ConfigDict(strict=True)

    format: int = 1
    logs: dict[str, str]  # paths by name, the first is what others are compared with
    tools: dict[str, str]
    missing: str = "bound"
    only_common: bool = False
    matched: list[Matched]
    differences: list[Difference]
    alone: int = 0  # metrics of tasks that only one log has, which count among all that were looked at
    sentences: list[str] = []

    def __str__(self) -> str:
        return "\n".join(verdicts(self))

    def lines(self) -> Iterator[Line]:
        """Yields means of logs and differences, for tables."""
        first = next(iter(self.logs))
        for each in self.differences:
            yield each.task, first, each.metric, each.first
            yield each.task, each.log, each.metric, each.mean
            yield each.task, f"{each.log} - {first}", each.metric, each.difference

    def write(self, folder: Path) -> None:
        """Writes the file."""
        text = json.dumps(as_json(self.model_dump(mode="json")), indent=1, ensure_ascii=False)
        write_whole(folder / COMPARISON_FILE, text, errors="backslashreplace")  # half of a surrogate pair


def compare_logs(logs: Mapping[str, Log], missing: Missing = ANYTHING) -> Comparison:
    """Compares logs, at least two by name, with the first one; p-values are adjusted for all differences."""
    (name, first), *others = logs.items()
    found, matched, alone = list[Difference](), list[Matched](), 0
    sentences = [f"{path.path}: {sentence}" for path in logs.values() for sentence in path.sentences]
    for other, log in others:
        if not first.tasks.keys() & log.tasks.keys() and len(first.tasks) == len(log.tasks) == 1:
            log = log._replace(tasks=dict(zip(first.tasks, log.tasks.values(), strict=True)))  # under any names
        pairs = [(task, ours, log.tasks[task]) for task, ours in first.tasks.items() if task in log.tasks]
        if not any(ours.keys.keys() & theirs.keys.keys() for _, ours, theirs in pairs):
            raise DataError(_strangers(name, first, other, log))
        sides = [{(task, metric) for task, each in side.tasks.items() for metric in each.metrics}
                 for side in (first, log)]  # fmt: skip
        before = len(found)
        for task, ours, theirs in pairs:
            places = _places(ours, theirs)
            matched.append(_matched(task, other, ours, theirs, places))
            if len(places):
                shared = [metric for metric in ours.metrics if metric in theirs.metrics]
                if not missing.only_common:
                    ours, theirs = ours.beside(theirs), theirs.beside(ours)
                    places = _places(ours, theirs)
                found += [_difference(task, metric, other, ours, theirs, places, missing) for metric in shared]
        alone += 0 if missing.only_common else len(sides[0] | sides[1]) - (len(found) - before)
        for task in sorted(log.tasks.keys() ^ first.tasks.keys()):
            sentences.append(f"The task {task} is only in {log.path if task in log.tasks else first.path}.")
        if of_one := {metric for _, metric in sides[0]} ^ {metric for _, metric in sides[1]}:
            sentences.append(f"Metrics that only one of `{name}` and `{other}` has: {', '.join(sorted(of_one))}.")
    if not found:
        of = {n: ", ".join({m: 0 for task in log.tasks.values() for m in task.metrics}) for n, log in logs.items()}
        raise DataError(f"No metric is in all logs: {', '.join(f'{n}: {each}' for n, each in of.items())}.")
    adjusted = _adjust(np.array([*(each.p_value for each in found), *[1.0] * alone]))[: len(found)]
    return Comparison(
        logs={each: log.path for each, log in logs.items()},
        tools={each: log.tool for each, log in logs.items()},
        missing=missing.how,
        only_common=missing.only_common,
        matched=matched,
        differences=[each.model_copy(update={"adjusted": float(p)}) for each, p in zip(found, adjusted, strict=True)],
        alone=alone,
        sentences=sentences,
    )


Places = np.ndarray[Any, np.dtype[np.int64]]


def _places(ours: Task, theirs: Task) -> Places:
    """Returns the `(M, 2)` places of documents that both have."""
    places = [(place, theirs.keys[key]) for key, place in ours.keys.items() if key in theirs.keys]
    return np.array(places, dtype=np.int64).reshape(-1, 2)


def _strangers(name: str, first: Log, other: str, log: Log) -> str:
    shared = [task for task in first.tasks if task in log.tasks]
    if not shared and max(len(first.tasks), len(log.tasks)) > 1:
        return (
            f"No task is in both logs. `{name}` has {', '.join(first.tasks)}; `{other}` has {', '.join(log.tasks)}. "
            "Name two logs of the same tasks."
        )
    one, two = (next(iter(each.tasks.values())).names[0] for each in (first, log))
    return (
        f"`{name}` and `{other}` share no document: the first are {one} and {two}. If only some fields are the same, "
        "name these with `--match`."
    )


def _matched(task: str, other: str, ours: Task, theirs: Task, places: Places) -> Matched:
    absent = set(range(len(ours.names))) - set(places[:, 0].tolist())
    new = set(range(len(theirs.names))) - set(places[:, 1].tolist())
    answers = [side.answers[places[:, column]] for column, side in enumerate((ours, theirs))]
    return Matched(
        task=task,
        log=other,
        both=len(places),
        only_first=len(absent),
        only_this=len(new),
        not_in_this=[ours.names[place] for place in sorted(absent)[:SHOWN]],
        not_in_first=[theirs.names[place] for place in sorted(new)[:SHOWN]],
        averaged=int((np.maximum(*answers) > 1).sum()) if len(places) else 0,
    )


def _difference(
    task: str, metric: str, other: str, ours: Task, theirs: Task, places: Places, missing: Missing
) -> Difference:
    sides = ours, theirs
    whole = [np.asarray(side.scored[metric].values) for side in sides]
    bounds, of_scales = bounds_of(*whole), scales_differ(*whole)
    filled = fillings(ours, theirs, metric, missing)
    is_open = filled is None or of_scales
    means = filled or [(ours.values(metric), theirs.values(metric))]
    pairs = [(a[places[:, 0]], b[places[:, 1]]) for a, b in means]
    clusters = None if ours.clusters is None else np.unique(ours.clusters[places[:, 0]], return_inverse=True)[1]
    changes = pairs[0][1] - pairs[0][0]
    won, lost = int((changes > 0).sum()), int((changes < 0).sum())
    is_exact = clusters is None and all(bool((np.isin(each, (0.0, 1.0)) | np.isnan(each)).all())
                                        for pair in pairs for each in pair)  # fmt: skip
    tests = [_test(b - a, clusters, is_exact=is_exact) for a, b in pairs]
    estimate = _around(pairs, clusters, bounds, is_open=is_open)
    is_one_way = len({float(np.sign(np.nanmean(b - a))) for a, b in pairs if not np.isnan(b - a).all()}) < 2
    groups = np.array([ours.groups[place] for place in places[:, 0]] if ours.groups else [], dtype=object)
    first, mean = (
        around([mean_of_items(np.where(side.answers, each, np.nan), bounds, side.clusters) for each in values])
        for side, values in zip(sides, zip(*means, strict=True), strict=True)
    )
    return Difference(
        task=task,
        metric=metric,
        log=other,
        first=first,
        mean=mean,
        difference=estimate,
        won=won,
        lost=lost,
        tied=int((changes == 0).sum()),
        p_value=max(p for _, p in tests) if is_one_way and not is_open else 1.0,
        is_exact=is_exact,
        unscored=_unscored(metric, ours, theirs, places, pairs, bounds),
        of_scales=of_scales,
        needed=None if is_open or len(pairs) > 1 else _needed(estimate.value, tests[0][0], estimate.n),
        groups={
            group: _around(pairs, clusters, bounds, is_open=is_open, of_it=of_it)
            for group in sorted(set(groups.tolist()))
            if len(of_it := np.flatnonzero(groups == group))
        },
        wins=_changed(ours, places, pairs[0], 1),
        losses=_changed(ours, places, pairs[0], -1),
    )


Pairs = Sequence[tuple[Values, Values]]
Bounds = tuple[float, float] | None


def _unscored(metric: str, ours: Task, theirs: Task, places: Places, pairs: Pairs, bounds: Bounds) -> Unscored | None:
    """Counts documents without a score, and says what the other log has there and what they make of the difference."""
    lacking = [side.lacking(metric)[places[:, column]] > 0 for column, side in enumerate((ours, theirs))]
    if not (lacking[0] | lacking[1]).any():
        return None
    a, b = ours.values(metric)[places[:, 0]], theirs.values(metric)[places[:, 1]]
    ends = [float(np.mean(second - first)) for first, second in pairs[1:]] or [math.nan, math.nan]
    return Unscored(
        first=int(lacking[0].sum()),
        this=int(lacking[1].sum()),
        first_absent=int((ours.answers == 0).sum()),
        this_absent=int((theirs.answers == 0).sum()),
        first_there=mean_of_items(a[lacking[1]], bounds),
        there=mean_of_items(b[lacking[0]], bounds),
        least=ends[0],
        most=ends[1],
        names=[ours.names[place] for place in places[lacking[0] | lacking[1], 0][:SHOWN]],
        held=list(dict.fromkeys([*ours.scored[metric].odd, *theirs.scored[metric].odd])),
    )


def _changed(task: Task, places: Places, scores: tuple[Values, Values], sign: int) -> list[Changed]:
    """Picks the documents that differ most, in the order of the log among equals."""
    gains, keys = sign * (scores[1] - scores[0]), list(task.keys)
    return [
        Changed(key=keys[place], name=task.names[place], scores=(float(scores[0][at]), float(scores[1][at])))
        for at in np.argsort(-gains, kind="stable")[:SHOWN]
        for place in (places[at, 0],)
        if gains[at] > 0
    ]


def _around(
    pairs: Pairs, codes: Codes | None, bounds: Bounds, *, is_open: bool, of_it: Places | slice = slice(None)
) -> Estimate:
    """Estimates the difference of scores as they are, with an interval for all that missing ones may be."""
    clusters = None if codes is None else codes[of_it]
    found = around([mean_difference(b[of_it], a[of_it], bounds, clusters) for a, b in pairs])
    found = found if codes is None else found._replace(unit="prompts")
    return unbounded(found) if is_open else found


def _test(changes: Values, codes: Codes | None, *, is_exact: bool) -> tuple[float, float]:
    """Returns the deviation of what each prompt adds, and the p-value of McNemar's test or Student's t over prompts.

    Without any spread it is that of the sign test.
    """
    from scipy.special import stdtr

    known = ~np.isnan(changes)
    changes = changes[known]
    place = np.arange(len(changes)) if codes is None else np.unique(codes[known], return_inverse=True)[1]
    n, exact = len(np.unique(place)), mcnemar(int((changes > 0).sum()), int((changes < 0).sum()))
    if n < 2:
        return math.nan, exact if is_exact else 1.0
    mean = float(changes.mean())
    centred = np.bincount(place, changes - mean) * n / len(changes)
    deviation = float(np.sqrt((centred**2).sum() / (n - 1)))
    if is_exact or deviation <= 1e-12 * abs(mean):
        return deviation, exact if is_exact else mcnemar(n, 0) if mean else 1.0
    return deviation, float(2 * stdtr(n - 1, -abs(mean) * math.sqrt(n) / deviation))


def _needed(difference: float, deviation: float, units: int) -> int | None:
    """Returns how many documents or prompts of this kind tell this difference at 5 %, 4 times of 5."""
    if not difference or not math.isfinite(deviation) or not deviation:
        return None
    return math.ceil(((student(max(units - 1, 1)) + _Z_POWER) * deviation / difference) ** 2)


def _adjust(p_values: Values) -> Values:
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def left_out(matched: Matched, comparison: Comparison) -> str:
    """Says how many documents only one log has, and what they count as; empty if none."""
    if not matched.only_first and not matched.only_this:
        return ""
    count = "count as unscored in the other; `--only_common` compares the rest alone"
    if comparison.only_common or comparison.missing == "drop":
        count = "are in no difference"
    return (
        f"{matched.task}: {matched.both:,} documents are in both logs; {matched.only_first:,} are only in the first "
        f"and {matched.only_this:,} only in `{matched.log}`, and {count}."
    )


def verdicts(comparison: Comparison) -> list[str]:
    """Says of each log how the first metric of each task differs, what is sure first.

    A difference is sure if its interval leaves out 0 and its adjusted p-value is below 0.05.
    """
    first = next(iter(comparison.logs))
    main = {(each.task, each.log): each for each in reversed(comparison.differences)}  # the first metric of each
    sure, unsure = [], []
    for each in reversed(main.values()):
        found = each.difference
        n = found.n or each.won + each.lost + each.tied
        place = f"in {each.metric} of {each.task}: {found} on the same {n:,} {found.unit}"
        lacking = "" if each.unscored is None else said_of(each, each.unscored, first, comparison.missing)
        if each.is_sure:
            sure.append(f"`{each.log}` is {found.verdict()} `{first}` {place}.{lacking}")
        else:
            unsure.append(f"`{each.log}` is not told apart from `{first}` {place}{_why(each, comparison)}.{lacking}")
    return sure + unsure


def said_of(each: Difference, unscored: Unscored, first: str, missing: str) -> str:
    """Says how many documents lack a score, what the other log has there, and what they can make of the difference."""
    sides = [
        f"`{one}` has no score on {lacks:,} documents{f' ({absent:,} are not in it)' * (absent > 0)}, where `{two}` "
        f"has {there}"
        for lacks, absent, one, two, there in (
            (unscored.this, unscored.this_absent, each.log, first, unscored.first_there),
            (unscored.first, unscored.first_absent, first, each.log, unscored.there),
        )
        if lacks
    ]
    held = f" (it holds {', '.join(unscored.held)})" if unscored.held else ""
    told = "they may be anything; name the range of the scores with `--missing LOW:HIGH`, or `--missing drop`"
    if not math.isnan(unscored.least):
        told = f"with them it is {unscored.least:.2f} to {unscored.most:.2f}, which the interval allows for"
    elif each.difference.n or missing == "drop":
        told = "they are left out" if missing == "drop" else "they count as wrong"
    return f" {'; '.join(sides)}{held}; {told}."


def _why(each: Difference, comparison: Comparison) -> str:
    """Says what keeps a difference from being sure: that many were looked at, or that there are few documents."""
    found = each.difference
    if each.of_scales:
        return "; one log has shares and the other goes far beyond 1: bring both to one scale"
    if found.verdict():
        of = f"of {len(comparison.differences) + comparison.alone:,} differences"
        return f"; {of} one may look so by chance (p {each.adjusted:.2f} by Holm)"
    if each.unscored is not None or each.needed is None or each.needed <= found.n:
        return ""
    return f"; about {each.needed:,} would tell a difference of this size"


_GATE = (
    "`fail_on` must be like `accuracy < -0.01`, `task:accuracy < 0` or `accuracy.low < -0.02`, of the difference to "
    "the first log"
)


def failed(comparison: Comparison, conditions: Sequence[str]) -> list[str]:
    """Lists the differences that are told to meet a condition, such as `accuracy < -0.01`, also if many are looked at.

    That is where the whole interval does; `accuracy.value`, `.low` and `.high` are looked at as they are.
    """
    met = []
    for text in conditions:
        condition = read_condition(text, _GATE)
        asked = [d for d in comparison.differences if condition.name in (d.metric, f"{d.task}:{d.metric}")]
        if not asked:
            known = sorted({f"{d.task}:{d.metric}" for d in comparison.differences})
            raise UserError(f"`fail_on` {text!r} names no metric that was compared. There is {', '.join(known)}.")
        sign = -1 if condition.sign[0] == "<" else 1
        says_apart = condition.end is None and sign * condition.than >= 0
        met += [
            f"{each.log}, {each.task}: {each.metric} differs by {each.difference}, which is {text}."
            for each in asked
            if condition.holds(each.difference) and (each.is_sure or not says_apart)
        ]
    return met
