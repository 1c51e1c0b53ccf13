"""A finding about a run, and the numbers it speaks of."""

from typing import NamedTuple

from align.report.charts.drawing import format_number
from align.report.charts.panel import Metrics


class Finding(NamedTuple):
    """Something in a run that its reader should know, and what to do about it."""

    title: str
    detail: str


def recent(metrics: Metrics, key: str) -> float:
    """Returns the mean of the last quarter of a metric, or NaN, which no threshold is above or below."""
    return metrics[key].recent() if key in metrics else float("nan")


def early(metrics: Metrics, key: str) -> float:
    """Returns the mean of the first quarter of a metric, or NaN."""
    return metrics[key].early() if key in metrics else float("nan")


def percent(share: float) -> str:
    """Writes a share for a sentence."""
    return format_number(share, share=True)
