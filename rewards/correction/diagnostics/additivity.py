from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from rewards.correction._moments import Array
from rewards.correction.least_squares import least_squares
from rewards.correction.standardising import Residuals


class Interaction(NamedTuple):
    """A term that additivity says is 0, with its 95 % interval.

    Attributes:
        term: `<confounder> x text`, per standard deviation of the text's predicted worth, or `<confounder> squared`.
        coefficient: In units of the outcome.
        low: Lower end of the interval.
        high: Upper end of the interval.
        p_value: Of the coefficient being 0.
    """

    term: str
    coefficient: float
    low: float
    high: float
    p_value: float


def additivity(
    names: tuple[str, ...],
    residuals: Residuals,
    coefficients: Array,
    clusters: Array | None = None,
    two_valued: Collection[str] = (),
) -> list[Interaction]:
    """Tests whether the confounders' effect changes with the text or is curved, which one slope cannot remove.

    The outcome's residual is regressed on the confounders' residuals, these times the predicted worth of the text,
    and their squares. The error of the regressions on the text makes small tables find a term too often (about 10 %
    at p < 0.05 with 1,500 rows), so look at its size and at p < 0.01.

    Args:
        names: Of the K confounders.
        residuals: What the text leaves, as in `residuals_`.
        coefficients: `(K,)` of the correction, for the worth of the text: prediction of outcome less confounders.
        clusters: `(N,)` labels that errors are clustered by.
        two_valued: Confounders whose square says nothing beside them.

    Raises:
        ValueError: If a residual is constant, or the terms determine each other.
    """
    predicted, unit = residuals.fit.predictions, residuals.confounders.std(axis=0)
    left, of_outcome = residuals.confounders / unit, residuals.outcome.std()
    worth = predicted[:, 0] - predicted[:, 1 : 1 + len(names)] @ np.asarray(coefficients)
    worth = (worth - worth.mean()) / worth.std()
    curved = [place for place, name in enumerate(names) if name not in two_valued]
    columns = np.hstack([left, left * worth[:, None], left[:, curved] ** 2])
    estimates = least_squares(residuals.outcome / of_outcome, columns, clusters)
    estimates = estimates.scaled(of_outcome / np.concatenate([unit, unit, unit[curved] ** 2]))
    terms = [f"{name} x text" for name in names] + [f"{names[place]} squared" for place in curved]
    found = zip(estimates.coefficients, estimates.intervals, estimates.p_values, strict=True)
    tested = list(found)[len(names) :]
    return [
        Interaction(term, float(slope), float(low), float(high), float(p_value))
        for term, (slope, (low, high), p_value) in zip(terms, tested, strict=True)
    ]
