"""Metrics by group of items: the worst group, and how far groups lie apart."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from align.evaluation.statistics.item_means import Codes, ItemMean, alike
from align.evaluation.statistics.metrics import LEVEL, Estimate, Values, wilson_interval

SPREADS = ("worst_group", "group_gap")  # of shares


def by_group(means: Mapping[str, ItemMean], groups: Sequence[str | None]) -> dict[str, ItemMean]:
    """Takes each metric apart by the `(N,)` groups of items, as `<metric>/<group>`; nothing with fewer than two."""
    places = _places(groups)
    if len(places) < 2:
        return {}
    return {
        f"{metric}/{name}": replace(
            mean,
            groups=tuple(values[here] for values in mean.groups),
            clusters=None if mean.clusters is None else tuple(codes[here] for codes in mean.clusters),
        )
        for metric, mean in means.items()
        for name, here in places.items()
    }


def accuracy_by_group(groups: Sequence[str | None], accuracy: Values) -> dict[str, ItemMean]:
    """Groups per-item accuracy, `(N,)` in [0, 1]; items whose group is None are in no group.

    Keys are `accuracy`, the mean over all items, and with two groups or more `accuracy/<group>` and `macro_accuracy`,
    the mean of the groups, each of which counts the same.
    """
    metrics = {"accuracy": ItemMean((accuracy,))}
    metrics |= by_group(metrics, groups)
    parts = _split(groups, accuracy)
    if len(parts) > 1:
        metrics["macro_accuracy"] = ItemMean(tuple(parts.values()), (1 / len(parts),) * len(parts))
    return metrics


def set_accuracy(sets: Sequence[str | None], groups: Sequence[str | None], accuracy: Values) -> dict[str, ItemMean]:
    """Takes together the `(N,)` per-item accuracy of each set of two items or more: is all of it right?

    It is the contrast consistency of Gardner et al. (2020). Of a rate over samples it is the chance that one sample of
    each item is right. Keys are `set_accuracy` and, with two groups of sets or more, `set_accuracy/<group>`.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(sets):
        if name is not None:
            places.setdefault(name, []).append(place)
    kept = [each for each in places.values() if len(each) > 1]
    if not kept:
        return {}
    means = {"set_accuracy": ItemMean((np.array([accuracy[each].prod() for each in kept]),))}
    return means | by_group(means, [groups[each[0]] for each in kept])


def spread_of_groups(
    groups: Sequence[str | None], accuracy: Values, clusters: Codes | None = None
) -> dict[str, Estimate]:
    """Estimates `worst_group` and `group_gap`, best minus worst.

    A minimum or a gap of noisy values is biased, which a bootstrap repeats and does not cover. The intervals hold
    for the accuracies of all groups at once: each group gets one at level 0.95^(1/G), and an end is the least or
    greatest value that accuracies inside those can have. Items of one of the `(N,)` clusters count as if they were the
    same.
    """
    codes = np.arange(len(accuracy)) if clusters is None else clusters
    known = {name: here & ~np.isnan(accuracy) for name, here in _places(groups).items()}
    parts = [(accuracy[here], np.unique(codes[here], return_counts=True)[1]) for here in known.values() if here.any()]
    if len(parts) < 2:
        return {}
    means = np.array([values.mean() for values, _ in parts])
    level = LEVEL ** (1 / len(parts))
    sizes = [alike(counts.astype(float)) for _, counts in parts]
    low, high = np.array([wilson_interval(mean, size, level) for mean, size in zip(means, sizes, strict=True)]).T
    n = sum(len(counts) for _, counts in parts)
    smallest_gap = max(0.0, float(low.max() - high.min()))
    return {
        "worst_group": Estimate(float(means.min()), float(low.min()), float(high.min()), n),
        "group_gap": Estimate(float(np.ptp(means)), smallest_gap, float(high.max() - low.min()), n),
    }


def _split(groups: Sequence[str | None], values: Values) -> dict[str, Values]:
    return {name: values[here] for name, here in _places(groups).items()}


def _places(groups: Sequence[str | None]) -> dict[str, NDArray[np.bool_]]:
    names: NDArray[np.object_] = np.array(groups, dtype=object)
    return {name: names == name for name in sorted({group for group in groups if group is not None})}
