"""How well a score tells two kinds of items apart."""

import numpy as np

from align.evaluation.statistics.metrics import LEVEL, RESAMPLES, Estimate, Values, all_equal


def area_under_curve(higher: Values, lower: Values, axis: int = -1) -> Values:
    """Returns the share of pairs in which the first kind has the higher score, a tie counts half (AUC).

    Args:
        higher: `(..., N)` scores of the items that should have the higher ones.
        lower: `(..., M)` scores of the others.
        axis: Of the items.

    Example:
        >>> float(area_under_curve(np.array([1.0, 0.5]), np.array([0.5, 0.0])))
        0.875
    """
    from scipy.stats import rankdata

    n, m = higher.shape[axis], lower.shape[axis]
    ranks = np.moveaxis(rankdata(np.concatenate((higher, lower), axis=axis), axis=axis), axis, -1)
    area: Values = (ranks[..., :n].sum(axis=-1) - n * (n + 1) / 2) / (n * m)
    return area


def estimate_area(higher: Values, lower: Values, *, seed: int = 0) -> Estimate:
    """Estimates the area with a percentile bootstrap over the items of each kind.

    Where every resample gives the same, as of scores that never overlap, the interval is that of `all_equal` for as
    many items as the smaller kind has: it allows for unseen ones.

    Example:
        >>> print(estimate_area(np.ones(30), np.zeros(20)))
        1.00 [0.84, 1.00]
    """
    from scipy.stats import bootstrap

    value, n, m = float(area_under_curve(higher, lower)), len(higher), len(lower)
    if min(n, m) > 1:
        found = bootstrap(
            (higher, lower), area_under_curve, vectorized=True, n_resamples=RESAMPLES, batch=500,
            confidence_level=LEVEL, method="percentile", rng=seed,
        ).confidence_interval  # fmt: skip
        if found.high > found.low:
            return Estimate(value, float(found.low), float(found.high), n + m)
    return all_equal(value, min(n, m))._replace(n=n + m)
