from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rewards.correction._moments import Array
from rewards.correction.columns import Observations
from rewards.correction.corrector import Corrector, Found
from rewards.correction.cross_fitting import Residuals, cross_fit, partial_out_text, text_features
from rewards.correction.least_squares import least_squares
from rewards.correction.refusals import refuse_given_away, text_warnings
from rewards.correction.surfaces import axes_of, find_surfaces
from rewards.correction.table import DesignTable, without_bends

RIDGE = (1.0, 10.0, 100.0, 1000.0)
ROUNDS = 3  # of fitting the text, and what confounders do together, each without the other


@dataclass(eq=False)
class DoubleML(Corrector):
    """Cross-fitted partially linear double machine learning (Chernozhukov et al. 2018, arXiv 1608.00060, Eq. 4.4).

    Outcome and confounders are predicted from the text in folds that hold whole groups; the coefficients are those of
    least squares on the residuals. Without groups, rows with the same text share a fold.
    """

    name = "dml"
    num_folds: int = 5  # of the cross-fitting
    max_words: int = 2000  # that TF-IDF keeps; not used with `features`
    ridge: Sequence[float] = RIDGE  # penalties to choose from, by the error on held-out folds
    seed: int = 0  # of the folds
    curved: bool = True  # whether numbers are removed by a curve; False is a line each

    def _find(self, table: DesignTable) -> Found:
        sample = table.sample._replace(features=text_features(table.sample, self.max_words))
        args = self.num_folds, self.max_words, self.ridge, self.seed
        left = partial_out_text(sample, table.moments, *args)
        refuse_given_away(without_bends(table.confounders), left.fit.r2[1:])
        left = without_effect(sample, left, found_by_residuals(sample, left).estimates.coefficients)
        found = found_by_residuals(sample, left)
        return self._with_surfaces(table, sample, found) if self.curved else found

    def _with_surfaces(self, table: DesignTable, sample: Observations, found: Found) -> Found:
        """Finds what confounders do together in what their own effects, and the text, leave of the outcome.

        Where there is something, the worth of texts is found again without it, since texts that go with it took a
        part, and then it is. The estimates stay: their errors take what is done together for noise.
        """
        assert found.residuals is not None
        names, left = without_bends(table.confounders), found.residuals
        values, together = sample.confounders.values[:, : len(names)] - table.centres, np.zeros(sample.num_rows)
        axes = axes_of(names, table.curves, table.categories, values)
        pieces = np.stack([axis.pieces(names, values, table.centres, table.categories) for axis in axes], axis=1)
        slopes, surfaces = found.estimates.coefficients, found.surfaces
        own = sample.confounders.values @ slopes
        for _ in range(ROUNDS):
            target = left.outcome - left.confounders @ slopes + together
            if not (pairs := find_surfaces(target, own, axes, pieces, left.fit.folds, self.seed)):
                break
            known = table.centres, table.categories
            surfaces, together = pairs, np.sum([each.at(names, values, *known) for each in pairs], axis=0)
            left = without_effect(sample._replace(outcome=sample.outcome - together), left, slopes)
        return found._replace(surfaces=surfaces, residuals=left)


def without_effect(sample: Observations, left: Residuals, slopes: Array) -> Residuals:
    """Predicts the outcome from the text anew, without an effect `(M,)` of the confounders that hides the text's.

    What the text is worth is then found with less noise, and less of it is left to go with the confounders.
    """
    clean = sample.outcome - sample.confounders.values @ slopes
    unit, mean = clean.std() or 1.0, clean.mean()
    fit = cross_fit(sample.features, (clean - mean)[:, None] / unit, left.fit.folds, left.fit.ridge[:1].tolist())
    outcome = clean - mean - unit * fit.predictions[:, 0] + left.confounders @ slopes
    predictions = np.column_stack([sample.outcome - sample.outcome.mean() - outcome, left.fit.predictions[:, 1:]])
    return left._replace(outcome=outcome, fit=left.fit._replace(predictions=predictions))


def found_by_residuals(sample: Observations, left: Residuals) -> Found:
    """Estimates by least squares on what the text leaves of outcome and confounders."""
    sums = least_squares(left.outcome, left.confounders, sample.groups)
    warned = text_warnings(sample, left.fit.r2[1 : 1 + left.confounders.shape[1]])
    names = ["outcome", *sample.confounders.names, *(sample.instruments.names if sample.instruments else ())]
    known = without_bends(names)
    details = {
        "num_folds": int(left.fit.folds.max()) + 1,
        "text_r2": {name: float(left.fit.r2[names.index(name)]) for name in known},
        "ridge": {name: float(left.fit.ridge[names.index(name)]) for name in known},
    }
    return Found(sums.estimates, DoubleML.name, warned, details, sums.num_clusters, (), left)
