"""Columns by their deviations from the mean, so that no estimator depends on units, and its numbers in units again."""

from typing import NamedTuple

import numpy as np

from rewards.correction._moments import Array, Moments
from rewards.correction.columns import Columns, Sample
from rewards.correction.cross_fitting import CrossFit
from rewards.correction.estimates import Estimates


class Residuals(NamedTuple):
    """What is left of outcome `(N,)`, confounders `(N, K)` and instruments `(N, L)` without the text's part.

    The predictions of `fit` are less the means of the columns.
    """

    outcome: Array
    confounders: Array
    instruments: Array | None
    fit: CrossFit


class Units(NamedTuple):
    """What the columns of a sample were divided by: the outcome's deviation, `(K,)` and `(L,)` deviations."""

    outcome: float
    confounders: Array
    instruments: Array

    def estimates(self, found: Estimates) -> Estimates:
        """Returns estimates of the K confounders in units of the outcome per unit of the confounder."""
        return found.scaled(self.outcome / self.confounders)

    def residuals(self, left: Residuals) -> Residuals:
        """Returns what is left of each column in its own unit."""
        every = np.concatenate([[self.outcome], self.confounders, self.instruments])
        instruments = None if left.instruments is None else left.instruments * self.instruments
        predictions = left.fit.predictions * every[: left.fit.predictions.shape[1]]
        return Residuals(
            left.outcome * self.outcome,
            left.confounders * self.confounders,
            instruments,
            left.fit._replace(predictions=predictions),
        )


def standardise(sample: Sample, moments: Moments) -> tuple[Sample, Units]:
    """Takes the means off outcome, confounders and instruments, and divides by the deviations.

    Args:
        sample: As it was read.
        moments: Of all its columns, none of which is constant.
    """
    deviations = np.where(moments.deviations > 0, moments.deviations, 1.0)
    first = 1 + len(sample.confounders.names)

    def of(columns: Columns | None, places: slice) -> Columns | None:
        if columns is None:
            return None
        return columns._replace(values=(columns.values - moments.means[places]) / deviations[places])

    outcome = (sample.outcome - moments.means[0]) / deviations[0]
    confounders, instruments = of(sample.confounders, slice(1, first)), of(sample.instruments, slice(first, None))
    assert confounders is not None
    units = Units(float(deviations[0]), deviations[1:first], deviations[first:])
    return sample._replace(outcome=outcome, confounders=confounders, instruments=instruments), units
