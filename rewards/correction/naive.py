import numpy as np

from rewards.correction._moments import Layout, Moments
from rewards.correction._sums import estimate
from rewards.correction.chunks import ChunkReader
from rewards.correction.columns import Missing, Sample
from rewards.correction.corrector import Corrector, Found, num_clusters
from rewards.correction.estimates import Estimates
from rewards.correction.least_squares import from_sums, least_squares
from rewards.correction.refusals import text_warnings
from rewards.correction.standardising import Units


class NoCorrection(Corrector):
    """Leaves the outcome as it is: the baseline whose reward contains the confounders' effect.

    Args:
        missing: `refuse` rows with missing values, or `drop` them.
    """

    name = "none"

    def __init__(self, missing: Missing = "refuse") -> None:
        self.missing = missing

    def _find(self, sample: Sample, units: Units) -> Found:
        return self._nothing(len(sample.confounders.names), sample.num_rows)

    def _find_in_chunks(self, reader: ChunkReader, moments: Moments) -> Found:
        return self._nothing(len(reader.confounders), moments.num_rows)

    def _nothing(self, width: int, num_rows: int) -> Found:
        return Found(Estimates(np.zeros(width), np.zeros((width, width)), float(num_rows)), self.name, [], {})


class NaiveResidual(Corrector):
    """Regresses the outcome on the confounders alone and keeps the residual: a baseline, called naive for a reason.

    The coefficient tends to gamma + Cov(C, f(X)) / Var(C), so where texts that are worth more go with the confounder
    the correction takes away a part of their worth.

    Args:
        missing: `refuse` rows with missing values, or `drop` them.
    """

    name = "ols"

    def __init__(self, missing: Missing = "refuse") -> None:
        self.missing = missing

    def _find(self, sample: Sample, units: Units) -> Found:
        estimates = units.estimates(least_squares(sample.outcome, sample.confounders.values, sample.groups))
        return Found(estimates, self.name, text_warnings(sample), {}, num_clusters(sample.groups))

    def _find_in_chunks(self, reader: ChunkReader, moments: Moments) -> Found:
        if reader.instruments:
            raise ValueError("`ols` takes no instruments in chunks, got some. Leave them out, or use `iv`.")
        sums = estimate(reader, Layout(len(reader.confounders)), moments)
        return Found(from_sums(sums), self.name, [], {}, sums.num_clusters)
