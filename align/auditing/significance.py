"""Exact tests, many at a time, and what is left of them once there are many."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
FALSE_DISCOVERIES = 0.05
POINTS = 0.10  # a smaller effect is not reported
POINTS_WITHIN = 0.05  # nor one that is smaller than this where lengths are alike
NUM_STRATA = 5
_DCI_ROOT = 3  # `s` in DCI's factor of frequency


def binomial(hits: Values, n: Values, expected: Values) -> Values:
    """Computes two-sided exact binomial p-values, of twice the smaller tail.

    A share of hits between two counts is taken as the one nearer to what is expected.

    Args:
        hits: `(F,)` hits.
        n: `(F,)` trials.
        expected: `(F,)` chance of a hit; where it differs between trials, its mean, which makes the test more careful.

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
    """Computes two-sided exact p-values of two proportions (Fisher), of twice the smaller tail.

    Args:
        hits: `(F,)` rows with both the feature and the label.
        n: `(F,)` rows with the feature.
        successes: `(F,)` rows with the label.
        total: `(F,)` rows.
    """
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


class Information(NamedTuple):
    """What the papers on cues in fact checking count, shown beside a cue and never ranked by."""

    productivity: float
    utility: float
    coverage: float
    harmonic_mean: float
    dci: float


def information(by_class: Values, num_texts: int) -> Information:
    """Computes the measures of Derczynski et al. (2020) and CsFEVER.

    Productivity is the share of the commonest class among texts with the cue, utility what it has above chance,
    coverage the share of texts with the cue, the harmonic mean is of productivity and coverage, and DCI the geometric
    mean of 1 - the normalised entropy of the classes and the third root of coverage.

    Args:
        by_class: `(C,)` texts with the cue, by class.
        num_texts: All texts.

    Example:
        >>> information(np.array([30.0, 10.0]), 400).utility
        0.25
    """
    total = by_class.sum()
    shares = by_class[by_class > 0] / total
    productivity, coverage = float(by_class.max() / total), float(total / num_texts)
    entropy = float(-(shares * np.log(shares)).sum() / np.log(len(by_class))) if len(by_class) > 1 else 0.0
    return Information(
        productivity,
        productivity - 1 / len(by_class),
        coverage,
        2 * productivity * coverage / (productivity + coverage),
        float(np.sqrt(max(0.0, 1 - entropy) * coverage ** (1 / _DCI_ROOT))),
    )
