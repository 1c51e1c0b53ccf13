"""Least squares and two-stage least squares from sums over rows, so that no table need be in memory.

Two passes over the rows: the first sums cross products, the second sums squared scores. The numbers are those of
statsmodels (`OLS`, HC1 or clustered) and linearmodels (`IV2SLS`, robust or clustered, debiased; J of `IVGMM`); the
tests compare them to 1e-8.
"""

from importlib import import_module
from typing import NamedTuple

import numpy as np

from rewards.correction._moments import Array, Layout, Moments, Read, collect, cragg_donald, in_chunks, partial_out

LEVEL = 0.95
SINGULAR = 1e-13  # share of a column's variance, or of a condition's, below which rounding is all there is


class Estimates(NamedTuple):
    """Coefficients `(K,)`, their `(K, K)` covariance, and the degrees of freedom of Student's t."""

    coefficients: Array
    covariance: Array
    degrees: float

    def scaled(self, factors: Array) -> "Estimates":
        """Returns the estimates `(K,)` factors times as large, as after a change of units."""
        return Estimates(self.coefficients * factors, self.covariance * factors[:, None] * factors[None], self.degrees)

    def picked(self, places: Array) -> "Estimates":
        """Returns the estimates of some columns, in this order."""
        return Estimates(self.coefficients[places], self.covariance[np.ix_(places, places)], self.degrees)

    def among(self, places: Array, width: int) -> "Estimates":
        """Returns the estimates at their places among `width` columns, of which the others have none."""
        coefficients, covariance = np.zeros(width), np.zeros((width, width))
        coefficients[places], covariance[np.ix_(places, places)] = self.coefficients, self.covariance
        return Estimates(coefficients, covariance, self.degrees)

    @property
    def standard_errors(self) -> Array:
        """Returns `(K,)` standard errors."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def intervals(self) -> Array:
        """Returns `(K, 2)` 95 % intervals."""
        reach = float(import_module("scipy.special").stdtrit(self.degrees, (1 + LEVEL) / 2)) * self.standard_errors
        return np.stack([self.coefficients - reach, self.coefficients + reach], axis=1)

    @property
    def p_values(self) -> Array:
        """Returns `(K,)` two-sided p-values of the coefficient being 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.abs(self.coefficients / self.standard_errors)
        return np.asarray(2 * import_module("scipy.special").stdtr(self.degrees, -ratio))


class Sums(NamedTuple):
    """What both passes give, in the columns' own units, of E endogenous columns."""

    estimates: Estimates  # of all columns but the instruments, robust to unequal variances (HC1), or clustered
    num_clusters: int | None  # None without
    f_statistics: Array  # (E,), robust; classical where there are no more groups than instruments
    partial_r2: Array  # (E,) share that the instruments explain beyond exogenous columns
    cragg_donald: float  # F of the worst-identified mix of endogenous columns; nan without any
    # Wooldridge's robust score statistic, or Hansen's J with clusters; None if there are as many instruments as
    # columns, or too few groups
    overidentification: float | None

    @property
    def strength(self) -> float:
        """Returns the smallest of all F statistics, which the weak-instrument rule looks at."""
        return min(self.cragg_donald, *self.f_statistics.tolist())


def least_squares(outcome: Array, columns: Array, clusters: Array | None = None) -> Sums:
    """Fits outcome `(N,)` ~ 1 + columns `(N, K)`; `(N,)` cluster labels tell which rows may be dependent."""
    return estimate(in_chunks(np.column_stack([outcome, columns]), clusters), Layout(columns.shape[1]))


def estimate(read: Read, layout: Layout, moments: Moments | None = None, absorbed: int = 1) -> Sums:
    """Estimates by two-stage least squares, or least squares if there is no endogenous column.

    `read` is called twice, or once with `moments` of the same rows. Columns behind those of the layout are passed
    over, and an intercept is always there; `absorbed` are degrees of freedom besides the columns. Raises `ValueError`
    if the columns determine each other, or one is constant.
    """
    moments = moments or collect(read)
    stage, cross, scale = layout.first_stage, moments.cross, moments.scale
    _refuse_singular(moments, stage)
    project = np.linalg.solve(cross[np.ix_(stage, stage)], cross[stage, layout.regressors])  # Q'Q^-1 Q'W
    bread = np.linalg.inv(project.T @ cross[stage, layout.regressors])
    slopes = bread @ project.T @ cross[stage, 0]
    scores = _Scores(layout, moments, slopes, project)
    for rows in read():
        scores.add((rows.values - moments.means) / scale, rows.clusters)
    clusters, num_parameters = scores.second.num_clusters, len(slopes) + absorbed
    covariance = bread @ scores.second.meat() @ bread * _correction(moments.num_rows, num_parameters, clusters)
    degrees = float(moments.num_rows - num_parameters if clusters is None else clusters - 1)
    found = Estimates(slopes, covariance, degrees).scaled(scale[0] / scale[layout.regressors])
    worst = cragg_donald(moments, layout) if layout.endogenous else float("nan")
    return Sums(found, clusters, *scores.first_stages(), worst, scores.overidentified())


class _Meat:
    """Sums the outer products of score rows, or of their sums within clusters."""

    def __init__(self, width: int) -> None:
        self._sum = np.zeros((width, width))
        self._within: Array = np.zeros((0, width))  # (G, width) sums of clusters

    @property
    def num_clusters(self) -> int | None:
        return len(self._within) or None

    def add(self, scores: Array, codes: Array | None) -> None:
        if codes is None:
            self._sum += scores.T @ scores
            return
        count = max(int(codes.max()) + 1, len(self._within))
        found: Array = np.stack([np.bincount(codes, weights=column, minlength=count) for column in scores.T], axis=1)
        found[: len(self._within)] += self._within
        self._within = found

    def meat(self) -> Array:
        return np.asarray(self._within.T @ self._within) if len(self._within) else self._sum


class _Scores:
    """Sums what the second pass needs: scores of both stages, and Wooldridge's test functions."""

    def __init__(self, layout: Layout, moments: Moments, slopes: Array, project: Array) -> None:
        self.layout, self.moments, self.slopes, self.project = layout, moments, slopes, project
        self.second = _Meat(len(slopes))
        cross, stage = moments.cross, layout.first_stage
        self.endogenous = slice(1 + layout.exogenous, 1 + layout.exogenous + layout.endogenous)
        self.first = [_Meat(len(stage)) for _ in range(layout.endogenous)]
        num_over = layout.instruments - layout.endogenous
        self.extra = stage[layout.exogenous : layout.exogenous + num_over]
        fitted = project.T @ cross[stage]
        self.extra_project = np.linalg.solve(fitted[:, stage] @ project, fitted[:, self.extra])
        self.test_sum, self.test_cross = np.zeros(num_over), np.zeros((num_over, num_over))
        self.conditions, self.squares = _Meat(1 + len(stage)), 0.0

    def add(self, centred: Array, clusters: Array | None) -> None:
        stage = centred[:, self.layout.first_stage]
        fitted = stage @ self.project
        residual = centred[:, 0] - centred[:, self.layout.regressors] @ self.slopes
        self.second.add(fitted * residual[:, None], clusters)
        first_residuals = centred[:, self.endogenous] - fitted[:, self.layout.exogenous :]
        for meat, column in zip(self.first, first_residuals.T, strict=True):
            meat.add(stage * column[:, None], clusters)
        if self.extra and clusters is not None:
            self.conditions.add(np.column_stack([residual, stage * residual[:, None]]), clusters)
            self.squares += float(residual @ residual)
        elif self.extra:
            test = (centred[:, self.extra] - fitted @ self.extra_project) * residual[:, None]
            self.test_sum += test.sum(axis=0)
            self.test_cross += test.T @ test

    def first_stages(self) -> tuple[Array, Array]:
        if not self.first:
            return np.empty(0), np.empty(0)
        moments, stage, tested = self.moments, self.layout.first_stage, slice(self.layout.exogenous, None)
        whole, explained = partial_out(moments, self.layout)
        partial_r2 = np.diag(explained) / np.diag(whole)
        inverse = np.linalg.inv(moments.cross[np.ix_(stage, stage)])
        clusters, left = self.second.num_clusters, moments.num_rows - len(stage) - 1
        if clusters is not None and clusters <= self.layout.instruments:
            return partial_r2 / (1 - partial_r2) * left / self.layout.instruments, partial_r2
        correction = _correction(moments.num_rows, len(stage) + 1, clusters)
        found = []
        for number, meat in enumerate(self.first):
            covariance = (inverse @ meat.meat() @ inverse * correction)[tested, tested]
            slopes = self.project[tested, self.layout.exogenous + number]
            found.append(slopes @ np.linalg.solve(covariance, slopes) / self.layout.instruments)
        return np.array(found), partial_r2

    def overidentified(self) -> float | None:
        if not self.extra:
            return None
        if self.second.num_clusters is not None:
            return self._hansen()
        return float(self.test_sum @ np.linalg.solve(self.test_cross, self.test_sum))

    def _hansen(self) -> float | None:
        """Computes J after two steps of GMM; None if a mix of the conditions holds in every cluster."""
        stage, count = self.layout.first_stage, 1 + len(self.layout.first_stage)
        cross = self.moments.cross
        meat = self.conditions.meat() / self.squares  # conditions are of columns with deviation 1
        if (self.conditions.num_clusters or 0) < count or np.linalg.eigvalsh(meat)[0] < SINGULAR * np.trace(meat):
            return None
        moved = np.zeros((count, 1 + len(self.slopes)))  # of the conditions, by the intercept and the slopes
        moved[0, 0], moved[1:, 1:] = self.moments.num_rows, cross[stage, self.layout.regressors]
        left = np.concatenate([[0.0], cross[stage, 0] - moved[1:, 1:] @ self.slopes])
        root = np.linalg.cholesky(meat)
        left, moved = np.linalg.solve(root, left), np.linalg.solve(root, moved)
        best = np.linalg.lstsq(moved, left, rcond=None)[0]
        return float(((left - moved @ best) ** 2).sum() / self.squares)


def _refuse_singular(moments: Moments, columns: list[int]) -> None:
    least = np.linalg.eigvalsh(moments.cross[np.ix_(columns, columns)])[:1] / moments.num_rows
    if (least < SINGULAR).any():
        raise ValueError(
            "The columns of a regression must vary and must not determine each other, but their correlation matrix "
            f"has an eigenvalue of {max(float(least[0]), 0):.1e}. Leave one of them out."
        )


def _correction(num_rows: int, num_parameters: int, num_clusters: int | None) -> float:
    """Returns the small-sample factor of a sandwich: HC1, or that of clusters."""
    if num_clusters is None:
        return num_rows / (num_rows - num_parameters)
    return num_clusters / (num_clusters - 1) * (num_rows - 1) / (num_rows - num_parameters)
