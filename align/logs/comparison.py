"""Logs side by side: documents matched by what they say, and differences on the same ones with their intervals."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from align.auditing.significance import adjust
from align.errors import DataError, UserError
from align.evaluation.record.file import without_nan
from align.evaluation.record.parts import Line, Row, Tabled
from align.evaluation.statistics.item_means import Codes, ItemMean
from align.evaluation.statistics.metrics import SIGNIFICANCE, Estimate, Values, mcnemar, student
from align.logs.log import Log, Task
from align.whole_files import write_whole

COMPARISON_FILE = "comparison.json"
ADJUSTED = ("holm", "bh")
SHOWN = 20  # items of each list
POWER = 0.8  # with which the items that are needed would tell the difference that was seen
_Z_POWER = 0.8416212335729143  # the normal quantile of 0.8
_CONDITION = re.compile(
    r"\s*(?:(?P<task>[^:<>]+):)?(?P<metric>[^:<>]+?)(?:\.(?P<end>low|high))?\s*(?P<sign>[<>])\s*(?P<than>\S+)\s*"
)


class Difference(BaseModel):
    """A metric of a task: a log minus the first, on the documents that both have."""

    model_config = ConfigDict(strict=True)

    task: str
    metric: str
    log: str
    mean: Row  # of this log, on all its documents
    first: Row  # of the first log, on all its documents
    difference: Row
    won: int
    lost: int
    tied: int
    p_value: float  # McNemar's where each is right or wrong and stands alone, else of a t-test
    is_exact: bool
    adjusted: float = 1.0  # for all differences that are shown
    needed: int | None  # documents (or prompts) that would tell this difference at 5 %, with a power of 0.8
    groups: dict[str, Row] = {}
    wins: list[str] = []
    losses: list[str] = []

    @property
    def is_sure(self) -> bool:
        """Tells whether the difference is there also when all that were looked at are counted."""
        return self.adjusted < SIGNIFICANCE and not self.difference.low <= 0 <= self.difference.high


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
    adjustment: str
    matched: list[Matched]
    differences: list[Difference]
    sentences: list[str] = []

    def lines(self) -> Iterator[Line]:
        """Yields means of logs and differences, for tables."""
        first = next(iter(self.logs))
        for each in self.differences:
            yield each.task, first, each.metric, each.first
            yield each.task, each.log, each.metric, each.mean
            yield each.task, f"{each.log} - {first}", each.metric, each.difference

    def write(self, folder: Path) -> None:
        """Writes the file."""
        text = json.dumps(without_nan(self.model_dump(mode="json")), indent=1, ensure_ascii=False)
        write_whole(folder / COMPARISON_FILE, text, errors="backslashreplace")  # half of a surrogate pair


def compare_logs(logs: Mapping[str, Log], adjustment: str = "holm") -> Comparison:
    """Compares logs, at least two by name, with the first one; p-values are adjusted by `holm` or `bh`."""
    if adjustment not in ADJUSTED:
        raise UserError(f"`adjust` must be one of {', '.join(ADJUSTED)}, got {adjustment!r}.")
    (name, first), *others = logs.items()
    found, matched = [], []
    sentences = [f"{path.path}: {sentence}" for path in logs.values() for sentence in path.sentences]
    for other, log in others:
        pairs = list(_matching(first, log))
        if not any(len(places) for *_, places in pairs):
            raise DataError(_strangers(name, first, other, log))
        for task, ours, theirs, places in pairs:
            matched.append(_matched(task, other, ours, theirs, places))
            if len(places):
                shared = [metric for metric in ours.metrics if metric in theirs.metrics]
                found += [_difference(task, metric, other, ours, theirs, places) for metric in shared]
        for task in sorted(log.tasks.keys() ^ first.tasks.keys()) if len(first.tasks) + len(log.tasks) > 2 else ():
            sentences.append(f"The task {task} is only in {log.path if task in log.tasks else first.path}.")
        alone = {m for task in log.tasks.values() for m in task.metrics} ^ {
            m for task in first.tasks.values() for m in task.metrics
        }
        if alone:
            sentences.append(f"Metrics that only one of `{name}` and `{other}` has: {', '.join(sorted(alone))}.")
    if not found:
        raise DataError(f"No metric is in all logs: {', '.join(f'{n}: {_metrics(log)}' for n, log in logs.items())}.")
    adjusted = _adjust(np.array([each.p_value for each in found]), adjustment)
    return Comparison(
        logs={each: log.path for each, log in logs.items()},
        tools={each: log.tool for each, log in logs.items()},
        adjustment=adjustment,
        matched=matched,
        differences=[each.model_copy(update={"adjusted": float(p)}) for each, p in zip(found, adjusted, strict=True)],
        sentences=sentences,
    )


Places = np.ndarray[Any, np.dtype[np.int64]]


def _matching(first: Log, log: Log) -> Iterator[tuple[str, Task, Task, Places]]:
    """Yields tasks of both with the `(M, 2)` places of shared documents; two lone tasks match under any names."""
    names = [(task, task) for task in first.tasks if task in log.tasks]
    if not names and len(first.tasks) == len(log.tasks) == 1:
        names = [(next(iter(first.tasks)), next(iter(log.tasks)))]
    for ours, theirs in names:
        a, b = first.tasks[ours], log.tasks[theirs]
        places = [(place, b.keys[key]) for key, place in a.keys.items() if key in b.keys]
        yield ours, a, b, np.array(places, dtype=np.int64).reshape(-1, 2)


def _metrics(log: Log) -> str:
    return ", ".join(dict.fromkeys(metric for task in log.tasks.values() for metric in task.metrics))


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


def _difference(task: str, metric: str, other: str, ours: Task, theirs: Task, places: Places) -> Difference:
    whole = [ours.values(metric), theirs.values(metric)]
    a, b = whole[0][places[:, 0]], whole[1][places[:, 1]]
    known = np.isfinite(a) & np.isfinite(b)
    a, b, places = a[known], b[known], places[known]
    in_range = all(np.nanmin(each, initial=0) >= 0 and np.nanmax(each, initial=1) <= 1 for each in whole)
    bounds = (0.0, 1.0) if in_range else None
    clusters = None if ours.clusters is None else np.unique(ours.clusters[places[:, 0]], return_inverse=True)[1]
    won, lost = int((b > a).sum()), int((b < a).sum())
    is_exact = clusters is None and bool(np.isin(np.concatenate([a, b]), (0.0, 1.0)).all())
    deviation, p_value = _t_test(b - a, np.arange(len(a)) if clusters is None else clusters)
    groups = np.array([ours.groups[place] for place in places[:, 0]] if ours.groups else [], dtype=object)
    estimate = _estimate(b, a, clusters, bounds)
    return Difference(
        task=task,
        metric=metric,
        log=other,
        first=_mean(whole[0], ours.clusters, bounds),
        mean=_mean(whole[1], theirs.clusters, bounds),
        difference=estimate,
        won=won,
        lost=lost,
        tied=len(a) - won - lost,
        p_value=mcnemar(won, lost) if is_exact else p_value,
        is_exact=is_exact,
        needed=_needed(estimate.value, deviation, estimate.n),
        groups={
            group: _estimate(b[of_it], a[of_it], None if clusters is None else clusters[of_it], bounds)
            for group in sorted(set(groups.tolist()))
            if len(of_it := np.flatnonzero(groups == group))
        },
        wins=_named(ours, places, b - a, 1),
        losses=_named(ours, places, b - a, -1),
    )


def _named(task: Task, places: Places, differences: Values, sign: int) -> list[str]:
    """Names the documents that differ most, in the order of the log among equals."""
    order = np.argsort(-sign * differences, kind="stable")[:SHOWN]
    return [task.names[places[at, 0]] for at in order if sign * differences[at] > 0]


def _mean(values: Values, codes: Codes | None, bounds: tuple[float, float] | None) -> Estimate:
    known = np.isfinite(values)
    return ItemMean((values[known],), bounds=bounds, clusters=None if codes is None else (codes[known],)).estimate()


def _estimate(b: Values, a: Values, codes: Codes | None, bounds: tuple[float, float] | None) -> Estimate:
    clusters = None if codes is None else (codes,)
    return ItemMean((b,), bounds=bounds, clusters=clusters).difference(
        ItemMean((a,), bounds=bounds, clusters=clusters)
    )


def _t_test(differences: Values, codes: Codes) -> tuple[float, float]:
    """Returns the deviation of what each prompt adds, and the two-sided p-value of Student's t over prompts."""
    from scipy.special import stdtr

    n = int(codes.max()) + 1 if len(codes) else 0
    if n < 2:
        return math.nan, 1.0
    centred = np.bincount(codes, differences - differences.mean(), minlength=n) * n / len(codes)
    deviation = float(np.sqrt((centred**2).sum() / (n - 1)))
    if deviation == 0:
        return 0.0, 0.0 if differences.mean() else 1.0
    return deviation, float(2 * stdtr(n - 1, -abs(differences.mean()) * math.sqrt(n) / deviation))


def _needed(difference: float, deviation: float, units: int) -> int | None:
    """Returns how many documents or prompts of this kind tell this difference at 5 %, 4 times of 5."""
    if not difference or not math.isfinite(deviation) or not deviation:
        return None
    return math.ceil(((student(max(units - 1, 1)) + _Z_POWER) * deviation / difference) ** 2)


def _adjust(p_values: Values, adjustment: str) -> Values:
    """Adjusts p-values by Holm (1979), or by Benjamini and Hochberg (1995)."""
    if adjustment == "bh":
        return adjust(p_values)
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def verdicts(comparison: Comparison) -> list[str]:
    """Says of each log how the first metric of each task differs, what is sure first.

    A difference is sure if its interval leaves out 0 and its adjusted p-value is below 0.05.
    """
    first = next(iter(comparison.logs))
    main = {(each.task, each.log): each for each in reversed(comparison.differences)}  # the first metric of each
    sure, unsure = [], []
    for each in reversed(main.values()):
        found = each.difference
        place = f"in {each.metric} of {each.task}: {found} on the same {found.n:,} {found.unit}"
        if each.is_sure:
            side = "above" if found.value > 0 else "below"
            sure.append(f"`{each.log}` is {side} `{first}` {place}.")
        else:
            unsure.append(f"`{each.log}` is not told apart from `{first}` {place}{_why(each, comparison)}.")
    return sure + unsure


def _why(each: Difference, comparison: Comparison) -> str:
    """Says what keeps a difference from being sure: that many were looked at, or that there are few documents."""
    found = each.difference
    if not found.low <= 0 <= found.high:
        name = {"holm": "Holm", "bh": "Benjamini and Hochberg"}[comparison.adjustment]
        of = f"of {len(comparison.differences):,} differences"
        return f"; {of} one may look so by chance (p {each.adjusted:.2f} by {name})"
    if each.needed is None or each.needed <= found.n:
        return ""
    return f"; about {each.needed:,} would tell a difference of this size"


def failed(comparison: Comparison, conditions: Sequence[str]) -> list[str]:
    """Lists the differences that meet a condition, such as `accuracy < -0.01` or `task:accuracy.low < -0.02`."""
    met = []
    for condition in conditions:
        parsed = _CONDITION.fullmatch(condition)
        try:
            than = float(parsed["than"]) if parsed else math.nan
        except ValueError:
            than = math.nan
        if parsed is None or not math.isfinite(than):
            raise UserError(
                f"`fail_on` must be like `accuracy < -0.01`, `task:accuracy < 0` or `accuracy.low < -0.02`, of the "
                f"difference to the first log, got {condition!r}."
            )
        task, metric = parsed["task"], parsed["metric"].strip()
        asked = [d for d in comparison.differences if d.metric == metric and task in (None, d.task)]
        if not asked:
            known = sorted({f"{d.task}:{d.metric}" for d in comparison.differences})
            raise UserError(f"`fail_on` {condition!r} names no metric that was compared. There is {', '.join(known)}.")
        for each in asked:
            value = getattr(each.difference, parsed["end"] or "value")
            if value < than if parsed["sign"] == "<" else value > than:
                met.append(
                    f"{each.log}, {each.task}: {each.metric} differs by {each.difference}, which is {condition}."
                )
    return met
