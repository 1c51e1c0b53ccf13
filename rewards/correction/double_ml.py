from collections.abc import Sequence

import numpy as np

from rewards.correction.columns import Missing, Sample
from rewards.correction.corrector import Corrector, Found, num_clusters
from rewards.correction.cross_fitting import assign_folds, cross_fit, fold_keys, text_features
from rewards.correction.least_squares import least_squares
from rewards.correction.refusals import text_warnings
from rewards.correction.standardising import Residuals, Units

RIDGE = (1.0, 10.0, 100.0, 1000.0)


class DoubleML(Corrector):
    """Cross-fitted partially linear double machine learning (Chernozhukov et al. 2018, arXiv 1608.00060, Eq. 4.4).

    Outcome and confounders are predicted from the text in folds that hold whole groups; the coefficients are those of
    least squares on the residuals. Without groups, rows with the same text share a fold.

    Args:
        num_folds: Folds of the cross-fitting.
        max_words: Words that TF-IDF keeps; not used with `features`.
        ridge: Penalties of the ridge regressions to choose from, by the error on held-out folds.
        seed: Of the folds.
        missing: `refuse` rows with missing values, or `drop` them.
    """

    name = "dml"

    def __init__(
        self,
        num_folds: int = 5,
        max_words: int = 5000,
        ridge: Sequence[float] = RIDGE,
        seed: int = 0,
        missing: Missing = "refuse",
    ) -> None:
        self.num_folds = num_folds
        self.max_words = max_words
        self.ridge = ridge
        self.seed = seed
        self.missing = missing

    def _find(self, sample: Sample, units: Units) -> Found:
        left = partial_out_text(sample, self.num_folds, self.max_words, self.ridge, self.seed)
        return found_by_residuals(sample, left, units)


def found_by_residuals(sample: Sample, left: Residuals, units: Units) -> Found:
    """Estimates by least squares on what the text leaves of standardised outcome and confounders."""
    estimates = units.estimates(least_squares(left.outcome, left.confounders, sample.groups))
    width = left.confounders.shape[1]
    warned = text_warnings(sample, left.fit.r2[1 : 1 + width])
    details = nuisance_details(sample, left)
    return Found(estimates, DoubleML.name, warned, details, num_clusters(sample.groups), (), units.residuals(left))


def partial_out_text(sample: Sample, num_folds: int, max_words: int, ridge: Sequence[float], seed: int) -> Residuals:
    """Removes what the text predicts, out of fold, from standardised outcome, confounders and instruments.

    Raises:
        ValueError: If there is neither text nor features, or there are fewer groups than folds.
    """
    features = text_features(sample, max_words)
    instruments = [] if sample.instruments is None else [sample.instruments.values]
    targets = np.hstack([sample.outcome[:, None], sample.confounders.values, *instruments])
    fit = cross_fit(features, targets, assign_folds(fold_keys(sample), num_folds, seed), ridge)
    left, width = targets - fit.predictions, 1 + len(sample.confounders.names)
    return Residuals(left[:, 0], left[:, 1:width], left[:, width:] if instruments else None, fit)


def nuisance_details(sample: Sample, left: Residuals) -> dict[str, object]:
    """Describes the regressions on the text: shares explained and penalties, per column."""
    names = ["outcome", *sample.confounders.names, *(sample.instruments.names if sample.instruments else ())]
    return {
        "num_folds": int(left.fit.folds.max()) + 1,
        "text_r2": dict(zip(names, map(float, left.fit.r2), strict=True)),
        "ridge": dict(zip(names, map(float, left.fit.ridge), strict=True)),
    }
