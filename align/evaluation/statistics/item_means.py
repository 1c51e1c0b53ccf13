"""A metric that is a mean over items, or over groups of items, and its difference between two models."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from align.evaluation.statistics.metrics import (
    FEW,
    MANY,
    Estimate,
    Values,
    bootstrap,
    mean_of_differences,
    share,
    student,
    wilson_interval,
)

_ROUNDING = 1e-12
_SLACK = 1e-9  # of values that are means of others, beyond their bounds


def ratio_of_means(part: Values, whole: Values) -> Estimate:
    """Estimates the sum of `part` over the sum of `whole`, both `(N,)` and of something, with a bootstrap over items.

    Two more are resampled with them, one of nothing and one of all, as in `share`.

    Example:
        >>> print(ratio_of_means(np.array([1.0, 2.0] * 20), np.full(40, 2.0)))
        0.75 [0.65, 0.82]
    """
    value, typical = float(part.sum() / whole.sum()), float(whole.mean())
    if np.ptp(part / whole) <= _ROUNDING:  # every resample is the same, as is said of such items
        return share(np.full(len(whole), value))
    above, below = np.append(part, (0.0, typical)), np.append(whole, (typical, typical))
    drawn = np.random.default_rng(0).multinomial(len(above), np.full(len(above), 1 / len(above)), size=1999)
    below_drawn = drawn @ below
    ratios = (drawn @ above)[below_drawn > 0] / below_drawn[below_drawn > 0]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Estimate(value, min(float(low), value), max(float(high), value), len(whole))


def clustered_share(part: Values, whole: Values) -> Estimate:
    """Estimates the sum of `part` over the sum of `whole`, both `(N,)`; `n` counts the items that have something.

    From 30 on, each end is the outer one of `ratio_of_means`, which misses where sizes are unequal and items all one
    way, and of `mean_over_clusters`, which misses near 0 and 1. With fewer it is Wilson's, with as many observations
    as `alike` says. Either is too wide rather than too narrow.

    Example:
        >>> print(clustered_share(np.array([2.0, 1.0, 0.0]), np.array([2.0, 2.0, 0.0])))
        0.75 [0.20, 0.97]
    """
    asked = whole > 0
    n = int(asked.sum())
    if n == 0:
        return share([])
    part, whole = part[asked], whole[asked]
    if n >= FEW:
        summed = mean_over_clusters(part, whole)
        drawn = summed if n > MANY else ratio_of_means(part, whole)
        return Estimate(drawn.value, max(0.0, min(drawn.low, summed.low)), min(1.0, max(drawn.high, summed.high)), n)
    value = min(1.0, float(part.sum() / whole.sum()))
    return Estimate(value, *wilson_interval(value, alike(whole)), n)


def mean_over_clusters(sums: Values, counts: Values, *, bounded: bool = False) -> Estimate:
    """Estimates the mean of items in clusters, the sum of `sums` over that of `counts`, both `(C,)`.

    The interval is that of a mean of what each cluster adds, to first order: what its sum is above that of so many
    average items, by the mean count, and the more of all items it has the more of it, because the mean leans towards
    it (as in CR3). With fewer clusters than 30, as `alike` counts them, it is Student's with one degree less, and at
    least one. `bounded` values are differences in [-1, 1].
    """
    n, value = len(counts), float(sums.sum() / counts.sum())
    held = counts / counts.sum()
    added = (sums - value * counts) / counts.mean() * (1 - 1 / n) / np.where(n > 1, 1 - held, 1.0)
    terms = value + added - added.mean()
    if np.ptp(terms) < _ROUNDING or alike(counts) >= FEW:
        return mean_of_differences(terms, bounded=bounded and bool(np.ptp(terms) < _ROUNDING))._replace(value=value)
    half = student(max(1.0, alike(counts) - 1)) * float(terms.std(ddof=1)) / math.sqrt(n)
    return Estimate(value, value - half, value + half, n)


def alike(counts: Values) -> float:
    """Returns as how many observations clusters of so many things count, if the things of a cluster are all the same.

    Example:
        >>> alike(np.array([2.0, 2.0, 2.0])), alike(np.array([8.0, 1.0, 1.0]))
        (3.0, 1.5151515151515151)
    """
    return float(counts.sum() ** 2 / (counts**2).sum())


def total_variation(given: Values, expected: Values, *, seed: int = 0) -> Estimate:
    """Estimates how far apart the summed rows of `given` and `expected`, `(N, K)` counts or shares of K kinds, are.

    Chance alone puts shares about `0.5 * sqrt(K / N)` apart, which a bootstrap of the distance repeats. So the ends
    are as far from what is measured as the summed rows vary around it (97.5 % of resamples of the N), which bounds
    the distance by the triangle inequality. With fewer than 30 they are wider, as Student's.

    Example:
        >>> print(total_variation(np.eye(2)[[0, 0, 0, 1] * 20], np.eye(2)[[0, 1, 0, 1] * 20]))
        0.25 [0.14, 0.36]
    """
    n = len(given)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=1999)
    apart = shares_of(given.sum(axis=0)) - shares_of(expected.sum(axis=0))
    noise = np.abs(shares_of(drawn @ given) - shares_of(drawn @ expected) - apart).sum(axis=1) / 2
    value, half = float(np.abs(apart).sum() / 2), float(np.nanquantile(noise, 0.975))
    half *= student(n - 1) / student(math.inf) if 1 < n < FEW else 1.0
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), n)


def shares_of(counts: Values) -> Values:
    """Divides counts by their sum over the last axis; nan where it is 0."""
    totals = counts.sum(axis=-1, keepdims=True)
    return np.where(totals > 0, counts, np.nan) / np.where(totals > 0, totals, 1)


Codes = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class ItemMean:
    """The weighted mean, over groups of items, of the mean in each group; `1` and `-1` make a difference of two."""

    groups: tuple[Values, ...]  # per-item values of each; nan where the metric does not speak of an item
    weights: tuple[float, ...] = (1.0,)  # of each group; they add up to 1, or to 0 for a difference between groups
    # least and greatest possible value, which may be infinite; None if there are none. Others are a `ValueError`
    bounds: tuple[float, float] | None = (0.0, 1.0)
    # per group, what each item belongs to, such as its prompt; None if each stands alone
    clusters: tuple[Codes, ...] | None = None
    own_bounds: tuple[tuple[float, float], ...] = ()  # of each group, where they differ

    def __post_init__(self) -> None:
        for values, bounds in zip(self.groups, self._bounds, strict=True):
            _check_bounds(values, bounds)

    def estimate(self) -> Estimate:
        """Estimates the metric."""
        found = [mean_of_items(*each) for each in zip(self.groups, self._bounds, self._codes, strict=True)]
        return weighted_mean(found, self.weights)

    def difference(self, other: "ItemMean") -> Estimate:
        """Estimates by how much the metric is larger than another model's on the same items, whatever one lacks."""
        each = zip(self.groups, other.groups, self._bounds, self._codes, strict=True)
        found = [bounded_difference(*of_group) for of_group in each]
        return weighted_mean(found, self.weights)

    def lacking(self, other: "ItemMean") -> list[int] | None:
        """Counts the items without a value of this alone, of the other alone, and of both; None if all have one."""
        ours, theirs = (np.isnan(np.concatenate(each.groups)) for each in (self, other))
        counts = [int(each.sum()) for each in (ours & ~theirs, theirs & ~ours, ours & theirs)]
        return counts if any(counts) else None

    @property
    def _bounds(self) -> tuple[tuple[float, float] | None, ...]:
        return self.own_bounds or (self.bounds,) * len(self.groups)

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


def mean_difference(
    ours: Values, theirs: Values, bounds: tuple[float, float] | None = (0.0, 1.0), codes: Codes | None = None
) -> Estimate:
    """Estimates the mean of `ours - theirs` over the same items within bounds; see `mean_of_items`."""
    _check_bounds(ours, bounds)
    _check_bounds(theirs, bounds)
    span = bounds[1] - bounds[0] if _has_ends(bounds) else None
    return mean_of_items(ours - theirs, None if span is None else (-span, span), codes)


def bounded_difference(
    ours: Values, theirs: Values, bounds: tuple[float, float] | None = (0.0, 1.0), codes: Codes | None = None
) -> Estimate:
    """Estimates as `mean_difference` does, with an interval for all that values may be which one side alone lacks."""
    known = mean_difference(ours, theirs, bounds, codes)
    lacks = np.isnan(ours) != np.isnan(theirs)
    if not lacks.any():
        return known
    if not _has_ends(bounds):
        return unbounded(known)
    ends = [(np.where(lacks & np.isnan(ours), a, ours), np.where(lacks & np.isnan(theirs), b, theirs))
            for a, b in (bounds, bounds[::-1])]  # fmt: skip
    return around([known, *(mean_difference(*each, bounds, codes) for each in ends)])


def around(estimates: Sequence[Estimate]) -> Estimate:
    """Returns the first with an interval that holds those of all."""
    low, high = (pick([each[i] for each in estimates]) for i, pick in ((1, np.fmin.reduce), (2, np.fmax.reduce)))
    return estimates[0]._replace(low=float(low), high=float(high))


def unbounded(found: Estimate) -> Estimate:
    """Returns a value that nothing bounds, and whose side nothing tells."""
    return found._replace(low=math.nan, high=math.nan, n=0)


def bounds_of(*values: Values) -> tuple[float, float] | None:
    """Returns 0 and 1 of values that are all right (1), half right or wrong (0), else None: no others are known.

    Example:
        >>> bounds_of(np.array([0.0, 1.0]), np.array([0.5])), bounds_of(np.array([0.2, 0.9]))
        ((0.0, 1.0), None)
    """
    return (0.0, 1.0) if all((np.isin(each, (0.0, 0.5, 1.0)) | np.isnan(each)).all() for each in values) else None


def _check_bounds(values: Values, bounds: tuple[float, float] | None) -> None:
    low, high = bounds or (-math.inf, math.inf)
    if len(outside := values[(values < low - _SLACK) | (values > high + _SLACK)]):
        raise ValueError(
            f"`bounds` are the least and greatest value that a metric can have, {low:g} and {high:g}, got the value "
            f"{outside[0]:g}. Give bounds that hold every value, or None if there are none."
        )


def _has_ends(bounds: tuple[float, float] | None) -> TypeGuard[tuple[float, float]]:
    return bounds is not None and not math.isinf(bounds[1])


def _repeats(values: Values, codes: Codes) -> bool:
    known = codes[~np.isnan(values)]
    return len(np.unique(known)) < len(known)


def by_cluster(values: Values, codes: Codes) -> tuple[Values, Values]:
    """Returns the sum and the number of the values in each cluster that has some."""
    known = ~np.isnan(values)
    _, place = np.unique(codes[known], return_inverse=True)
    counts = np.bincount(place).astype(float)
    return np.bincount(place, weights=values[known]).astype(float), counts


def mean_of_items(
    values: Values, bounds: tuple[float, float] | None = (0.0, 1.0), codes: Codes | None = None
) -> Estimate:
    """Estimates the mean of per-item values, nan left out, by their bounds; items of a cluster (`codes`) are one.

    Bounds around 0 are those of differences within an item, see `mean_of_differences`; for others see `share`, and
    `bootstrap` where there are none. Where only the upper one is infinite the interval ends at
    the lower one. Of clusters with several items see `mean_over_clusters` and `clustered_share`; `n` counts them.

    Example:
        >>> print(mean_of_items(np.array([1.0, 1.0, 0.0, 0.5])))
        0.62 [0.25, 0.92]
    """
    _check_bounds(values, bounds)
    clusters = codes if codes is not None and _repeats(values, codes) else None
    if not _has_ends(bounds):
        found = bootstrap(values) if clusters is None else mean_over_clusters(*by_cluster(values, clusters))
        if bounds is None:
            return found
        return found._replace(low=float(np.clip(found.low, min(bounds[0], found.value), None)))
    low, high = bounds
    if low == -high:
        if clusters is None:
            return _scale_back(mean_of_differences(values / high), high, 0.0)
        found = mean_over_clusters(*by_cluster(values / high, clusters), bounded=True)
        within = found._replace(low=float(np.clip(found.low, -1.0, 1.0)), high=float(np.clip(found.high, -1.0, 1.0)))
        return _scale_back(within, high, 0.0)
    scaled = (np.asarray(values, dtype=float) - low) / (high - low)
    found = share(scaled) if clusters is None else clustered_share(*by_cluster(scaled, clusters))
    return _scale_back(found, high - low, low)


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
    n = 0 if math.isnan(below + above) else sum(each.n for each in estimates)  # one of them is not bounded
    return Estimate(value, value - below, value + above, n)


def _scale_back(estimate: Estimate, span: float, shift: float) -> Estimate:
    value, low, high = (shift + span * number for number in estimate[:3])
    return Estimate(value, low, high, estimate.n)
