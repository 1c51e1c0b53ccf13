from dataclasses import dataclass

import numpy as np

from rewards.correction._moments import Layout
from rewards.correction.columns import Missing
from rewards.correction.corrector import Corrector, Found
from rewards.correction.least_squares import Estimates, estimate
from rewards.correction.refusals import text_warnings
from rewards.correction.table import Table


@dataclass(eq=False)
class NoCorrection(Corrector):
    """Leaves the outcome as it is: the baseline whose reward contains the confounders' effect.

    Args:
        missing: `refuse` rows with missing values, or `drop` them.
    """

    name = "none"
    in_chunks = True
    missing: Missing = "refuse"

    def _find(self, table: Table) -> Found:
        width = len(table.confounders)
        nothing = Estimates(np.zeros(width), np.zeros((width, width)), float(table.moments.num_rows))
        return Found(nothing, self.name, [], {})


@dataclass(eq=False)
class NaiveResidual(Corrector):
    """Regresses the outcome on the confounders alone and keeps the residual: a baseline, called naive for a reason.

    The coefficient tends to gamma + Cov(C, f(X)) / Var(C), so where texts that are worth more go with the confounder
    the correction takes away a part of their worth.

    Args:
        missing: `refuse` rows with missing values, or `drop` them.
    """

    name = "ols"
    in_chunks = True
    missing: Missing = "refuse"

    def _find(self, table: Table) -> Found:
        sums = estimate(table.read, Layout(len(table.confounders)), table.moments)
        warned = [] if table.sample is None else text_warnings(table.sample)
        return Found(sums.estimates, self.name, warned, {}, sums.num_clusters)
