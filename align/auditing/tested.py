"""What every test of features gives, whatever it compared."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Tested(NamedTuple):
    """F features with their effects and p-values.

    Attributes:
        where: What has the features: `answer`, `option`, `question`, `prompt` or `text`.
        names: F names.
        types: F types.
        targets: F names of what a positive effect goes with.
        opposites: F names of what a negative effect goes with; empty where that is another test's positive effect.
        n: `(F,)` units that have the feature and can tell.
        hits: `(F,)` of those, how many are with the target.
        expected: `(F,)` share of hits without an effect.
        effect: `(F,)` what the share, or the rank correlation, is above that.
        within: `(F,)` the effect among units of similar length.
        p_raw: `(F,)` p-values of the test without strata of length.
        p_values: `(F,)` the larger one of both tests.
        z: `(F,)` deviate of the test without strata, which cues are ranked by.
        by_class: `(F, C)` texts with the feature, by class; without columns where there are no classes.
        num_texts: That could have it.
        unit: `(E,)` unit of each occurrence of a feature, sorted by feature.
        feature: `(E,)` feature of each occurrence.
        is_hit: `(E,)` whether it is with the target there.
    """

    where: str
    names: list[str]
    types: list[str]
    targets: list[str]
    opposites: list[str]
    n: Values
    hits: Values
    expected: Values
    effect: Values
    within: Values
    p_raw: Values
    p_values: Values
    z: Values
    by_class: Values
    num_texts: int
    unit: Numbers
    feature: Numbers
    is_hit: NDArray[np.bool_]

    def units(self, feature: int) -> tuple[Numbers, NDArray[np.bool_]]:
        """Returns the units that have a feature, and whether it is with the target there."""
        low, high = np.searchsorted(self.feature, [feature, feature + 1])
        return self.unit[low:high], self.is_hit[low:high]


def sums(codes: Numbers, weights: Values | NDArray[np.bool_], length: int) -> Values:
    """Adds weights up by their code, `(length,)`."""
    return np.asarray(np.bincount(codes, weights=weights, minlength=length), dtype=np.float64)


def stricter(p_raw: Values, z_raw: Values, p_within: Values, z_within: Values) -> Values:
    """Joins a test with the one within strata of length: an effect has to pass both, in one direction."""
    agree = np.sign(z_raw) == np.sign(z_within)
    return np.where(agree, np.maximum(p_raw, p_within), 1.0)
