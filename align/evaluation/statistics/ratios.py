"""Shares of things that come in clusters, as the samples of a question do, with intervals over the clusters."""

import math

import numpy as np

from align.evaluation.statistics.metrics import FEW, LEVEL, Estimate, Values, mean_of_differences, share, student

_ROUNDING = 1e-12


def ratio_of_means(part: Values, whole: Values, *, seed: int = 0) -> Estimate:
    """Estimates the sum of `part` over the sum of `whole`, both `(N, S)`, with a bootstrap over the N items.

    Two more are resampled with them, one of nothing and one of all, as in `share`. `n` counts what the ratio is a
    share of. `nan` if that is nothing.

    Example:
        >>> print(ratio_of_means(np.array([[1.0, 0.0], [1.0, 1.0]] * 20), np.ones((40, 2))))
        0.75 [0.65, 0.82]
    """
    above, below = part.sum(axis=1), whole.sum(axis=1)
    if below.sum() == 0:
        return share([])
    value, n = float(above.sum() / below.sum()), int(below.sum())
    asked = below > 0
    if np.ptp(above[asked] / below[asked]) <= _ROUNDING:  # every resample is the same, as is said of such items
        return share(np.full(int(asked.sum()), value))._replace(n=n)
    typical = float(below[asked].mean())
    above, below = np.append(above, (0.0, typical)), np.append(below, (typical, typical))
    drawn = np.random.default_rng(seed).multinomial(len(above), np.full(len(above), 1 / len(above)), size=1999)
    below_drawn = drawn @ below
    ratios = (drawn @ above)[below_drawn > 0] / below_drawn[below_drawn > 0]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Estimate(value, min(float(low), value), max(float(high), value), n)


def clustered_share(part: Values, whole: Values) -> Estimate:
    """Estimates the sum of `part` over the sum of `whole`, both `(N,)`, also where few items have something.

    From 30 items that have something on, each end is the outer one of `ratio_of_means`, which misses where sizes are
    unequal and items all one way, and of `mean_over_clusters`, which misses near 0 and 1. With fewer it is Wilson's,
    with as many observations as `alike` says. Either is too wide rather than too narrow.

    Returns:
        `n` counts the items that have something.

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
        drawn, summed = ratio_of_means(part[:, None], whole[:, None]), mean_over_clusters(part, whole)
        return Estimate(drawn.value, max(0.0, min(drawn.low, summed.low)), min(1.0, max(drawn.high, summed.high)), n)
    value = min(1.0, float(part.sum() / whole.sum()))
    return Estimate(value, *wilson_interval(value, alike(whole)), n)


def mean_over_clusters(sums: Values, counts: Values, *, bounded: bool = False) -> Estimate:
    """Estimates the mean of items in clusters, the sum of `sums` over that of `counts`, both `(C,)`.

    The interval is that of a mean of what each cluster adds, to first order: what its sum is above that of so many
    average items, by the mean count, and the more of all items it has the more of it, because the mean leans towards
    it (as in CR3). With fewer clusters than 30, as `alike` counts them, it is Student's with one degree less, and at
    least one.

    Args:
        sums: Of the values of each cluster.
        counts: How many items each has; at least 1.
        bounded: Whether values are differences in [-1, 1].
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


def wilson_interval(mean: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Returns Wilson's interval, also of a mean of values between 0 and 1, whose variance it overstates."""
    from scipy.stats import norm

    z = float(norm.ppf((1 + level) / 2))
    centre, shrink = mean + z**2 / (2 * n), 1 + z**2 / n
    half = z * math.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2))
    return max(0.0, (centre - half) / shrink), min(1.0, (centre + half) / shrink)
