"""Every metric in one line: each suite keeps its own sentences, and those that several have stand here."""

from collections.abc import Mapping
from typing import NamedTuple


class Meaning(NamedTuple):
    """What a metric says."""

    label: str
    meaning: str
    better: str | None  # "higher", "lower", or None where neither is


HIGH, LOW = "higher", "lower"
# A name that ends in "/", "_" or "@" stands for every metric that begins so.
SHARED = {
    "answered": Meaning("Answered", "responses with exactly one valid answer", HIGH),
    "worst_group": Meaning("Worst group", "accuracy of the group with the lowest one", HIGH),
    "group_gap": Meaning("Group gap", "accuracy of the best group minus that of the worst", LOW),
    "accuracy_from/": Meaning("Accuracy from a changed trace", "second answers from that trace that are right", None),
    "trace_reliance": Meaning("Trace reliance", "accuracy from the own trace minus from none; 0 if the trace is "
        "decoration", None),
    "judge_order_disagreement/": Meaning("Disagreement of orders", "pairs, or responses, where another order changes "
        "the judge's answer; each order counts half", LOW),
}  # fmt: skip
_OPEN = ("/", "_", "@")  # how names end that stand for all metrics which begin so


def entry_of(metric: str, glossary: Mapping[str, Meaning]) -> str | None:
    """Names the entry of a metric: its own, or the longest one that it begins with; None if there is none.

    Example:
        >>> entry_of("accuracy_from/none", SHARED), entry_of("perplexity", SHARED)
        ('accuracy_from/', None)
    """
    if metric in glossary:
        return metric
    begins = (name for name in glossary if name.endswith(_OPEN) and metric.startswith(name))
    return max(begins, key=len, default=None)


def better_of(meaning: Meaning | None, metric: str, sides: Mapping[str, str]) -> str | None:
    """Tells whether more or less of a metric is better, by `sides` of rewards; None where neither is, or nobody knows.

    Example:
        >>> better_of(SHARED["answered"], "reward/monitor", {"monitor": "lower"})
        'lower'
    """
    better = None if meaning is None else meaning.better
    side = sides.get(metric.partition("/")[2].partition("/")[0], better)
    return better if side == HIGH or better is None else side if side == LOW else None
