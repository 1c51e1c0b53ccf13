from collections.abc import Sequence
from dataclasses import dataclass

from rewards.correction.columns import Missing, Sample
from rewards.correction.corrector import Corrector, Found
from rewards.correction.cross_fitting import Residuals, partial_out_text
from rewards.correction.least_squares import least_squares
from rewards.correction.refusals import text_warnings
from rewards.correction.table import Table

RIDGE = (1.0, 10.0, 100.0, 1000.0)


@dataclass(eq=False)
class DoubleML(Corrector):
    """Cross-fitted partially linear double machine learning (Chernozhukov et al. 2018, arXiv 1608.00060, Eq. 4.4).

    Outcome and confounders are predicted from the text in folds that hold whole groups; the coefficients are those of
    least squares on the residuals. Without groups, rows with the same text share a fold.
    """

    name = "dml"
    num_folds: int = 5  # of the cross-fitting
    max_words: int = 5000  # that TF-IDF keeps; not used with `features`
    ridge: Sequence[float] = RIDGE  # penalties to choose from, by the error on held-out folds
    seed: int = 0  # of the folds
    missing: Missing = "refuse"  # `refuse` rows with missing values, or `drop` them

    def _find(self, table: Table) -> Found:
        assert table.sample is not None
        args = self.num_folds, self.max_words, self.ridge, self.seed
        return found_by_residuals(table.sample, partial_out_text(table.sample, table.moments, *args))


def found_by_residuals(sample: Sample, left: Residuals) -> Found:
    """Estimates by least squares on what the text leaves of outcome and confounders."""
    sums = least_squares(left.outcome, left.confounders, sample.groups)
    warned = text_warnings(sample, left.fit.r2[1 : 1 + left.confounders.shape[1]])
    names = ["outcome", *sample.confounders.names, *(sample.instruments.names if sample.instruments else ())]
    details = {
        "num_folds": int(left.fit.folds.max()) + 1,
        "text_r2": dict(zip(names, map(float, left.fit.r2), strict=True)),
        "ridge": dict(zip(names, map(float, left.fit.ridge), strict=True)),
    }
    return Found(sums.estimates, DoubleML.name, warned, details, sums.num_clusters, (), left)
