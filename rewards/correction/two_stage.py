from typing import NamedTuple

import numpy as np

from rewards.correction._libraries import library
from rewards.correction._moments import Array, Layout, cragg_donald, in_chunks
from rewards.correction._sums import Sums, estimate
from rewards.correction.estimates import Estimates
from rewards.correction.least_squares import from_sums

SCORE_TEST = "Wooldridge's robust score test"
CLUSTERED_TEST = "Hansen's J test, clustered by group"
NOT_RUN = (
    f"not tested: {CLUSTERED_TEST}, needs as many groups as it has conditions, and conditions that vary between them; "
    "there are {groups:,} groups and {conditions} conditions"
)


class TwoStage(NamedTuple):
    """Two-stage least squares with what tells whether to believe it.

    Attributes:
        estimates: Of the exogenous, then the endogenous columns.
        f_statistics: `(E,)` robust first-stage F of the instruments, per endogenous column; classical where there are
            no more groups than instruments.
        partial_r2: `(E,)` share of each endogenous column that the instruments explain beyond exogenous columns.
        cragg_donald: F of the worst-identified mix of endogenous columns; the classical F if there is one.
        overidentification: Statistic of the test, None if there are as many instruments as columns, or too few groups.
        overidentification_p: Its p-value; small means that the instruments contradict each other.
        overidentification_test: Which test it is, or why it was not run.
    """

    estimates: Estimates
    f_statistics: Array
    partial_r2: Array
    cragg_donald: float
    overidentification: float | None
    overidentification_p: float | None
    overidentification_test: str | None

    @property
    def strength(self) -> float:
        """Returns the smallest of all F statistics, which the weak-instrument rule looks at."""
        return min(self.cragg_donald, *self.f_statistics.tolist())


def two_stage_least_squares(
    outcome: Array, endogenous: Array, instruments: Array, exogenous: Array, clusters: Array | None = None
) -> TwoStage:
    """Fits outcome ~ 1 + exogenous + endogenous, the last moved by the instruments, with robust or clustered errors.

    Args:
        outcome: `(N,)`.
        endogenous: `(N, E)` columns that share causes with the outcome.
        instruments: `(N, L)`, L >= E.
        exogenous: `(N, P)` columns that are their own instruments; P may be 0.
        clusters: `(N,)` labels of rows that may be dependent.
    """
    layout = Layout(exogenous.shape[1], endogenous.shape[1], instruments.shape[1])
    read = in_chunks(np.column_stack([outcome, exogenous, endogenous, instruments]), clusters)
    return two_stage_from_sums(estimate(read, layout), layout)


def two_stage_from_sums(sums: Sums, layout: Layout) -> TwoStage:
    """Reads two-stage least squares off sums over rows."""
    over, surplus = sums.overidentification, layout.instruments - layout.endogenous
    test = None if not surplus else SCORE_TEST if sums.num_clusters is None else CLUSTERED_TEST
    if surplus and over is None:
        conditions = 1 + layout.exogenous + layout.instruments
        test = NOT_RUN.format(groups=sums.num_clusters, conditions=conditions)
    return TwoStage(
        from_sums(sums),
        np.array([stage.f_statistic for stage in sums.first_stages]),
        np.array([stage.partial_r2 for stage in sums.first_stages]),
        cragg_donald(sums.moments, layout),
        over,
        None if over is None else float(library("scipy.special").chdtrc(surplus, over)),
        test,
    )
