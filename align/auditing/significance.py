"""Exact tests, many at a time, what each of them gives, and what is left of them once there are many."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]
FALSE_DISCOVERIES = 0.05
POINTS = 0.10  # a smaller effect is not reported
POINTS_WITHIN = 0.05  # nor one that is smaller than this where lengths are alike
NUM_STRATA = 5


def binomial(hits: Values, n: Values, expected: Values) -> Values:
    """Computes two-sided exact binomial p-values, `(F,)`, of twice the smaller tail.

    A share of hits between two counts is taken as the one nearer to what is expected. Where the chance of a hit
    differs between trials, its mean is expected, which makes the test more careful.

    Example:
        >>> binomial(np.array([9.0]), np.array([10.0]), np.array([0.5])).round(4)
        array([0.0215])
    """
    from scipy.stats import binom

    centre = n * expected
    counts = np.where(hits >= centre, np.floor(hits + 1e-9), np.ceil(hits - 1e-9))
    lower, upper = binom.cdf(counts, n, expected), binom.sf(counts - 1, n, expected)
    return np.minimum(1.0, 2 * np.minimum(lower, upper))


def fisher(hits: Values, n: Values, successes: Values, total: Values) -> Values:
    """Computes two-sided exact p-values of two proportions (Fisher), of twice the smaller tail, from `(F,)` counts."""
    from scipy.stats import hypergeom

    lower, upper = hypergeom.cdf(hits, total, successes, n), hypergeom.sf(hits - 1, total, successes, n)
    return np.minimum(1.0, 2 * np.minimum(lower, upper))


def of_z(z: Values) -> Values:
    """Computes two-sided p-values of normal deviates."""
    from scipy.stats import norm

    return 2 * norm.sf(np.abs(z))


def adjust(p_values: Values) -> Values:
    """Adjusts p-values by Benjamini and Hochberg."""
    from scipy.stats import false_discovery_control

    return false_discovery_control(np.clip(p_values, 0.0, 1.0)) if len(p_values) else p_values


def strata_of(lengths: Values) -> NDArray[np.int64]:
    """Sorts lengths into five strata of about equal size."""
    edges = np.quantile(lengths, np.arange(1, NUM_STRATA) / NUM_STRATA) if len(lengths) else np.zeros(0)
    return np.searchsorted(edges, lengths, side="left")


class Tested(NamedTuple):
    """F features with their effects and p-values."""

    where: str  # what has the features: `answer`, `option`, `question`, `prompt` or `text`
    names: list[str]  # F
    types: list[str]  # F
    targets: list[str]  # F names of what a positive effect goes with
    # F names of what a negative one goes with; empty where that is another test's positive effect
    opposites: list[str]
    n: Values  # `(F,)` units that have the feature and can tell
    hits: Values  # `(F,)` of those, how many are with the target
    expected: Values  # `(F,)` share of hits without an effect
    effect: Values  # `(F,)` what the share, or the rank correlation, is above that
    within: Values  # `(F,)` the effect among units of similar length
    p_raw: Values  # `(F,)` of the test without strata of length
    p_values: Values  # `(F,)` the larger one of both tests
    z: Values  # `(F,)` deviate of the test without strata, which cues are ranked by
    are_shares: bool  # whether effects are of shares; else rank correlations
    unit: Numbers  # `(E,)` of each occurrence of a feature, sorted by feature
    feature: Numbers  # `(E,)` of each occurrence
    is_hit: Flags  # `(E,)` whether it is with the target there
    part: str = ""  # which rows were tested; empty for all

    def units(self, feature: int) -> tuple[Numbers, Flags]:
        """Returns the units that have a feature, and whether it is with the target there."""
        low, high = np.searchsorted(self.feature, [feature, feature + 1])
        return self.unit[low:high], self.is_hit[low:high]


def sums(codes: Numbers, weights: Values | Flags, length: int) -> Values:
    """Adds weights up by their code, `(length,)`."""
    return np.asarray(np.bincount(codes, weights=weights, minlength=length), dtype=np.float64)


def stricter(p_raw: Values, z_raw: Values, p_within: Values, z_within: Values) -> Values:
    """Joins a test with the one within strata of length: an effect has to pass both, in one direction."""
    agree = np.sign(z_raw) == np.sign(z_within)
    return np.where(agree, np.maximum(p_raw, p_within), 1.0)
