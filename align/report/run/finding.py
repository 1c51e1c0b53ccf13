"""A finding about a run, and the numbers it speaks of."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from align.evaluation.statistics.metrics import Estimate, mean_over_logs, told, wilson_interval
from align.report.charts.axis import format_number
from align.report.charts.panel import Metrics

_NEAR_LOG_TWO = 0.005  # nats: a mean margin of 0.01, in units of `beta` for DPO
_Z = 1.959963984540054  # of a 95 % interval
_FEWEST = 20  # logs; a warm-up may take that long


LEVELS = {"error": "spoils", "warning": "doubt", "ok": "note"}  # of what checks say; pages show them in this order


class Finding(NamedTuple):
    """Something that the reader of a page should know, and what to do about it."""

    title: str
    detail: str
    level: str = "doubt"  # `spoils` what was done or would be, `doubt`, or a `note`


class Sign(NamedTuple):
    """Everything there is of what may look wrong in a run; names in braces in its texts are of what it saw."""

    title: str
    detail: str  # why it matters, and what to do about it
    look: Callable[[Any], Iterable[Mapping[str, Any]]]  # at a `RunFolder`: what it saw, once for each finding
    level: str = "doubt"  # of its findings


def look_at(run: Any, signs: Iterable[Sign]) -> list[Finding]:
    """Lists what looks wrong in a run."""
    seen = [(sign, seen) for sign in signs for seen in sign.look(run)]
    return [Finding(sign.title.format(**seen), sign.detail.format(**seen), sign.level) for sign, seen in seen]


def ends(key: str, *, above: float = math.inf, below: float = -math.inf) -> Callable[[Any], list[dict[str, str]]]:
    """Looks whether a metric ends beyond a limit, by more than chance."""

    def look(run: Any) -> list[dict[str, str]]:
        found = last(run.metrics, key)
        is_beyond = found.low > above or found.high < below
        return [{"value": told(found), "share": percent(found)}] if is_beyond else []

    return look


def recent(metrics: Metrics, key: str) -> float:
    """Returns the mean of the last quarter of a metric, or NaN, which no threshold is above or below."""
    return metrics[key].recent() if key in metrics else float("nan")


def first(metrics: Metrics, key: str) -> Estimate:
    """Estimates the mean of the first quarter of a metric, at least five logs; of a short run there is none."""
    return mean_over_logs(metrics[key].first() if key in metrics else [])


def last(metrics: Metrics, key: str) -> Estimate:
    """Estimates the mean of the last quarter of a metric, at least five logs; without an interval, nothing is told."""
    return mean_over_logs(metrics[key].last() if key in metrics else [])


def above(metrics: Metrics, key: str, limit: float) -> Estimate | None:
    """Estimates a metric if it ends above a limit beyond chance."""
    found = last(metrics, key)
    return found if found.low > limit else None


def below(metrics: Metrics, key: str, limit: float) -> Estimate | None:
    """Estimates a metric if it ends below a limit beyond chance."""
    found = last(metrics, key)
    return found if found.high < limit else None


def held_out(metrics: Metrics, key: str, *, is_share: bool = False) -> Estimate:
    """Estimates a share, or a mean of squares, over held-out rows; without their number in the log nothing is told.

    The same rows are measured each time, so that logs do not show how far others would lie from them.
    """
    value = recent(metrics, f"eval_{key}")
    rows = recent(metrics, "eval_runtime") * recent(metrics, "eval_samples_per_second")
    if math.isnan(value + rows):
        return Estimate(value, math.nan, math.nan, 0)
    half = _Z * value * math.sqrt(2 / rows)  # the spread of a square is its mean times the root of 2
    low, high = wilson_interval(value, rows) if is_share else (value - half, value + half)
    return Estimate(value, low, high, round(rows), "rows")


def stays_at_log_two(metrics: Metrics) -> bool:
    """Tells whether a loss over pairs ends where it began: at log 2, that of a model to which both sides are equal."""
    losses = (first(metrics, "loss").value, recent(metrics, "loss"))
    return all(abs(loss - math.log(2)) < _NEAR_LOG_TWO for loss in losses) and len(metrics["loss"].values) >= _FEWEST


def percent(share: float | Estimate) -> str:
    """Writes a share for a sentence, with its interval and its n where it has them."""
    return told(share, in_percent=True) if isinstance(share, Estimate) else format_number(share, share=True)
