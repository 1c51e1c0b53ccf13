"""A metric that is a mean over items, or over groups of items, and its difference between two models."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from align.evaluation.statistics.metrics import (
    Estimate,
    Values,
    bootstrap,
    mean_of_differences,
    paired_difference,
    share,
)
from align.evaluation.statistics.ratios import clustered_share, mean_over_clusters

Codes = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class ItemMean:
    """The weighted mean, over groups of items, of the mean in each group; `1` and `-1` make a difference of two.

    Attributes:
        groups: Per-item values of each group; `nan` where the metric does not speak of an item.
        weights: Weight of each group; they add up to 1, or to 0 for a difference between groups.
        bounds: The least and the greatest value that is possible, which may be infinite, or `None` if there are none.
        clusters: Per group the number of what each item belongs to, such as its prompt; `None` if each stands alone.
    """

    groups: tuple[Values, ...]
    weights: tuple[float, ...] = (1.0,)
    bounds: tuple[float, float] | None = (0.0, 1.0)
    clusters: tuple[Codes, ...] | None = None

    def estimate(self) -> Estimate:
        """Estimates the metric."""
        found = [
            mean_of_clusters(values, codes, self.bounds)
            for values, codes in zip(self.groups, self._codes, strict=True)
        ]
        return weighted_mean(found, self.weights)

    def difference(self, other: "ItemMean") -> Estimate:
        """Estimates by how much the metric is larger than another model's on the same items."""
        found = [
            difference_of_clusters(ours, theirs, codes, self.bounds)
            for ours, theirs, codes in zip(self.groups, other.groups, self._codes, strict=True)
        ]
        return weighted_mean(found, self.weights)

    @property
    def _codes(self) -> tuple[Codes | None, ...]:
        return (None,) * len(self.groups) if self.clusters is None else self.clusters


def cluster_codes(names: Sequence[Any]) -> Codes:
    """Numbers what items belong to: equal texts or messages are one.

    Example:
        >>> cluster_codes(["a", "b", "a"]).tolist()
        [0, 1, 0]
    """
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(repr(name), len(numbers)) for name in names], dtype=np.int64)


def mean_of_clusters(values: Values, codes: Codes | None, bounds: tuple[float, float] | None) -> Estimate:
    """Estimates the mean of items that belong together in clusters; see `mean_of_items`, and `clustered_share`.

    Of values that are no shares the interval is that of `mean_over_clusters`. `n` counts clusters.
    """
    if codes is None or not _repeats(values, codes):
        return mean_of_items(values, bounds)
    if not _has_ends(bounds):
        found = mean_over_clusters(*_by_cluster(values, codes))
        least = -math.inf if bounds is None or bounds[0] == bounds[1] else min(bounds[0], found.value)
        return found._replace(low=float(np.clip(found.low, least, None)))
    low, high = bounds
    if low == -high:
        return _scale_back(
            _within_one(mean_over_clusters(*_by_cluster(values / high, codes), bounded=True)), high, 0.0
        )
    return _scale_back(clustered_share(*_by_cluster(_scale(values, bounds), codes)), high - low, low)


def difference_of_clusters(
    ours: Values, theirs: Values, codes: Codes | None, bounds: tuple[float, float] | None
) -> Estimate:
    """Estimates the mean of `ours - theirs`, of items that belong together in clusters; see `mean_difference`.

    The interval is that of `mean_over_clusters`. `n` counts clusters.
    """
    differences = ours - theirs
    if codes is None or not _repeats(differences, codes):
        return mean_difference(ours, theirs, bounds)
    if not _has_ends(bounds):
        return mean_over_clusters(*_by_cluster(differences, codes))
    span = bounds[1] - bounds[0]
    return _scale_back(
        _within_one(mean_over_clusters(*_by_cluster(differences / span, codes), bounded=True)), span, 0.0
    )


def _has_ends(bounds: tuple[float, float] | None) -> TypeGuard[tuple[float, float]]:
    return bounds is not None and bounds[0] != bounds[1] and not math.isinf(bounds[1])


def _within_one(found: Estimate) -> Estimate:
    low, high = (float(np.clip(end, -1.0, 1.0)) for end in (found.low, found.high))
    return found._replace(low=low, high=high)


def _repeats(values: Values, codes: Codes) -> bool:
    known = codes[~np.isnan(values)]
    return len(np.unique(known)) < len(known)


def _by_cluster(values: Values, codes: Codes) -> tuple[Values, Values]:
    """Returns the sum and the number of the values in each cluster that has some."""
    known = ~np.isnan(values)
    _, place = np.unique(codes[known], return_inverse=True)
    counts = np.bincount(place).astype(float)
    return np.bincount(place, weights=values[known]).astype(float), counts


def mean_of_items(values: Values, bounds: tuple[float, float] | None = (0.0, 1.0)) -> Estimate:
    """Estimates the mean of per-item values; `nan` items are left out.

    Bounds around 0 are those of differences within an item, which are estimated as such; see `mean_of_differences`,
    and `share` for values between other bounds. Without bounds, or with two that are equal, it is `bootstrap`, and
    where only the upper one is infinite the interval ends at the lower one.

    Example:
        >>> print(mean_of_items(np.array([1.0, 1.0, 0.0, 0.5])))
        0.62 [0.25, 0.92]
    """
    if bounds is None or bounds[0] == bounds[1]:
        return bootstrap(values)
    low, high = bounds
    if math.isinf(high):
        found = bootstrap(values)
        return found._replace(low=float(np.clip(found.low, min(low, found.value), None)))
    if low == -high:
        return _scale_back(mean_of_differences(values / high), high, 0.0)
    return _scale_back(share(_scale(values, bounds)), high - low, low)


def mean_difference(ours: Values, theirs: Values, bounds: tuple[float, float] | None = (0.0, 1.0)) -> Estimate:
    """Estimates the mean of `ours - theirs` over the same items, as `paired_difference` does within [0, 1]."""
    if bounds is None or bounds[0] == bounds[1] or math.isinf(bounds[1]):
        return mean_of_differences(ours - theirs, bounded=False)
    return _scale_back(paired_difference(_scale(ours, bounds), _scale(theirs, bounds)), bounds[1] - bounds[0], 0.0)


def weighted_mean(estimates: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
    """Estimates a weighted mean of independent estimates; a negative weight subtracts.

    The distance of each end of the interval from the value is the root of the summed squares of the weighted distances
    of its parts (Zou and Donner, 2008). An interval of one part stays as it is, to the last bit: it may end at 0.

    Example:
        >>> from align.evaluation.statistics.metrics import wilson
        >>> print(weighted_mean([wilson(8, 10), wilson(90, 100)], [0.5, 0.5]))
        0.85 [0.69, 0.93]
        >>> print(weighted_mean([wilson(56, 70), wilson(48, 80)], [1, -1]))
        0.20 [0.05, 0.33]
    """
    parts = list(zip(weights, estimates, strict=True))
    if len(parts) == 1 and parts[0][0] == 1:
        return parts[0][1]
    value = sum(weight * each.value for weight, each in parts)
    below = math.hypot(*(weight * (each.value - (each.low if weight > 0 else each.high)) for weight, each in parts))
    above = math.hypot(*(weight * (each.value - (each.high if weight > 0 else each.low)) for weight, each in parts))
    return Estimate(value, value - below, value + above, sum(each.n for each in estimates))


def _scale(values: Values, bounds: tuple[float, float]) -> Values:
    low, high = bounds
    scaled: Values = (np.asarray(values, dtype=float) - low) / (high - low)
    return scaled


def _scale_back(estimate: Estimate, span: float, shift: float) -> Estimate:
    value, low, high = (shift + span * number for number in estimate[:3])
    return Estimate(value, low, high, estimate.n)
