from typing import NamedTuple

import numpy as np

from rewards.correction._libraries import library
from rewards.correction._moments import Array, Layout, cragg_donald, in_chunks
from rewards.correction._sums import Sums, estimate
from rewards.correction.estimates import LIBRARY_ROWS, Estimates, degrees_of_freedom
from rewards.correction.least_squares import from_sums

SCORE_TEST = "Wooldridge's robust score test"
CLUSTERED_TEST = "Hansen's J test, clustered by group"
NOT_RUN = (
    f"not tested: {CLUSTERED_TEST}, needs as many groups as it has conditions, and conditions that vary between them; "
    "there are {groups:,} groups and {conditions} conditions"
)
UNCLUSTERED_TEST = f"{SCORE_TEST}, which takes the rows of a group for independent; p is too small if they are not"


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

    linearmodels' `IV2SLS` (debiased) and its over-identification test up to `LIBRARY_ROWS` rows; above, sums over
    rows, which give the same numbers to 1e-8, except that their over-identification test knows no clusters. The first
    stage always comes from the sums: its numbers are those of the library, which takes many times longer for them, and
    lacks Cragg and Donald's statistic.

    Args:
        outcome: `(N,)`.
        endogenous: `(N, E)` columns that share causes with the outcome.
        instruments: `(N, L)`, L >= E.
        exogenous: `(N, P)` columns that are their own instruments; P may be 0.
        clusters: `(N,)` labels of rows that may be dependent.
    """
    layout = Layout(exogenous.shape[1], endogenous.shape[1], instruments.shape[1])
    read = in_chunks(np.column_stack([outcome, exogenous, endogenous, instruments]), clusters)
    summed = two_stage_from_sums(estimate(read, layout), layout)
    if len(outcome) > LIBRARY_ROWS:
        return summed
    estimates, over = library_two_stage(outcome, endogenous, instruments, exogenous, clusters)
    if layout.instruments == layout.endogenous:
        return summed._replace(estimates=estimates)
    if over is None:
        assert clusters is not None
        conditions = 1 + layout.exogenous + layout.instruments
        return summed._replace(
            estimates=estimates,
            overidentification=None,
            overidentification_p=None,
            overidentification_test=NOT_RUN.format(groups=len(np.unique(clusters)), conditions=conditions),
        )
    return summed._replace(
        estimates=estimates,
        overidentification=over[0],
        overidentification_p=over[1],
        overidentification_test=SCORE_TEST if clusters is None else CLUSTERED_TEST,
    )


def library_two_stage(
    outcome: Array, endogenous: Array, instruments: Array, exogenous: Array, clusters: Array | None = None
) -> tuple[Estimates, tuple[float, float] | None]:
    """Returns linearmodels' estimates, and its over-identification statistic with p-value where it can be computed."""
    with_constant = np.column_stack([np.ones(len(outcome)), exogenous])
    model = library("linearmodels.iv").IV2SLS(outcome, with_constant, endogenous, instruments)
    if clusters is None:
        result, num_clusters = model.fit(cov_type="robust", debiased=True), None
    else:
        labels, codes = np.unique(clusters, return_inverse=True)
        result = model.fit(cov_type="clustered", clusters=codes, debiased=True)
        num_clusters = len(labels)
    num_parameters = with_constant.shape[1] + endogenous.shape[1]
    degrees = degrees_of_freedom(len(outcome), num_parameters, num_clusters)
    estimates = Estimates(result.params.to_numpy()[1:], result.cov.to_numpy()[1:, 1:], degrees)
    if instruments.shape[1] == endogenous.shape[1]:
        return estimates, None
    if num_clusters is None:
        over = result.wooldridge_overid
    elif num_clusters < with_constant.shape[1] + instruments.shape[1]:
        return estimates, None
    else:
        gmm = library("linearmodels.iv").IVGMM(
            outcome, with_constant, endogenous, instruments, weight_type="clustered", clusters=codes
        )
        try:
            over = gmm.fit(cov_type="clustered", clusters=codes).j_stat
        except ValueError:  # a condition that holds in every group, such as that of a column that marks one of them
            return estimates, None
    return estimates, (float(over.stat), float(over.pval))


def two_stage_from_sums(sums: Sums, layout: Layout) -> TwoStage:
    """Reads two-stage least squares off sums over rows."""
    over, surplus = sums.overidentification, layout.instruments - layout.endogenous
    return TwoStage(
        from_sums(sums),
        np.array([stage.f_statistic for stage in sums.first_stages]),
        np.array([stage.partial_r2 for stage in sums.first_stages]),
        cragg_donald(sums.moments, layout),
        over,
        None if over is None else float(library("scipy.special").chdtrc(surplus, over)),
        None if over is None else SCORE_TEST if sums.num_clusters is None else UNCLUSTERED_TEST,
    )
