"""What the estimators share: scikit-learn's contract, one way from a table to a fitted correction; two baselines."""

import warnings
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from rewards.correction._moments import Array, Layout
from rewards.correction.columns import CorrectionWarning, read_sample
from rewards.correction.correction import WORDS, Correction, formula_in_words
from rewards.correction.cross_fitting import Residuals
from rewards.correction.curves import Curve, drawn
from rewards.correction.least_squares import Estimates, estimate
from rewards.correction.refusals import refuse_degenerate, refuse_one_group, refuse_too_few_rows, text_warnings
from rewards.correction.surfaces import Surface
from rewards.correction.table import DesignTable, bent, table_of

FEW_CLUSTERS = 20


class Found(NamedTuple):
    """What an estimator found, in the units of the columns."""

    estimates: Estimates  # of the K confounders
    estimator: str  # that they come from
    warnings: list[str]  # sentences
    details: dict[str, Any]  # ready for JSON
    num_clusters: int | None = None  # groups that errors are clustered by
    group_effects: tuple[tuple[Any, float], ...] = ()  # for fixed effects
    residuals: Residuals | None = None  # for diagnostics, if the text was partialled out
    surfaces: tuple[Surface, ...] = ()  # what pairs of confounders do together
    left: Array | None = None  # (N,) of the outcome without confounders, groups and text; None without these
    instead: "Corrector | None" = None  # that is to estimate, after a fallback


class Corrector:
    """Base of the estimators; `fit` learns `correction_`, `coef_`, `residuals_` and `left_`, `correct` applies them.

    Subclasses are dataclasses whose fields are their settings; `_find` estimates.
    """

    name: ClassVar[str]
    reads_text: ClassVar[bool] = True
    curved: bool

    def fit(
        self,
        outcome: Any,
        confounders: Any,
        *,
        text: Any = None,
        features: Any = None,
        instruments: Any = None,
        groups: Any = None,
    ) -> Self:
        """Estimates the effect of the confounders on the outcome.

        Args:
            outcome: `(N,)` observed outcome.
            confounders: Table, mapping, or `(N, K)` array.
            text: N texts.
            features: `(N, D)` array in place of the words of the text, for example embeddings.
            instruments: Table, mapping, or `(N, L)` array.
            groups: `(N,)` labels. Rows of a group share a fold, and errors are clustered by group.
        """
        given: dict[str, Any] = {"text": text, "features": features, "instruments": instruments, "groups": groups}
        sample = read_sample(outcome, confounders, **given, lines=self.lines)
        refuse_one_group(sample.groups)
        self._fit(table_of(sample))
        return self

    def correct(self, outcome: Any, confounders: Any, *, groups: Any = None) -> Array:
        """Returns the corrected reward of each row, also of rows that were not fitted; see `Correction.correct`."""
        if not hasattr(self, "correction_"):
            raise ValueError(f"`{type(self).__name__}` must be fitted first. Call `fit`.")
        return self.correction_.correct(outcome, confounders, groups=groups)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the arguments of `__init__`, as scikit-learn asks for."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def set_params(self, **params: Any) -> Self:
        """Sets arguments of `__init__`."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"`{type(self).__name__}` has no parameter {name!r}; it has {', '.join(known)}.")
            setattr(self, name, value)
        return self

    @property
    def lines(self) -> Collection[str] | None:
        """Names the confounders that stay numbers and lines, None for all."""
        return ()

    def _check(self, table: DesignTable) -> None:
        if not table.confounders:
            raise ValueError("`confounders` must have at least one column, got none. Name what moves the outcome.")
        refuse_too_few_rows(table.moments.num_rows, len(table.confounders) + 1)
        refuse_degenerate(("outcome",), "outcome", table.moments, [0])
        refuse_degenerate(table.confounders, "confounder", table.moments, range(1, 1 + len(table.confounders)))

    def _find(self, table: DesignTable) -> Found:
        raise NotImplementedError

    def _found(self, table: DesignTable) -> tuple[Found, tuple[Curve, ...]]:
        lines = self.lines
        wider = bent(table, lines, needs_sample=self.reads_text) if self.curved and lines is not None else table
        return _collapsed(self._find(wider), wider, len(table.confounders))

    def _fit(self, table: DesignTable) -> None:
        self._check(table)
        names, moments = table.confounders, table.moments
        found, curves = self._found(table)
        if found.instead is not None:
            other, curves = found.instead._found(table)
            warned = [*dict.fromkeys([*other.warnings, *found.warnings])]
            found = other._replace(warnings=warned, details=found.details | other.details)
        columns = slice(1, 1 + len(names))
        means, deviations = moments.means[columns], moments.deviations[columns]
        warned = [*found.warnings, *filter(None, (each.in_words for each in table.categories))]
        if found.num_clusters is not None and found.num_clusters < FEW_CLUSTERS:
            warned.append(
                f"There are only {found.num_clusters} groups; below {FEW_CLUSTERS} intervals are too narrow."
            )
        described = WORDS[found.estimator]
        self.correction_ = Correction(
            estimator=found.estimator,
            requested=self.name,
            formula=formula_in_words(
                names,
                found.estimates.coefficients,
                means,
                bool(found.group_effects),
                deviations=deviations,
                units=table.sample.units,
                beyond=[
                    *dict.fromkeys(f"curve of {curve.name}" for curve in curves),
                    *dict.fromkeys("what {} and {} do together".format(*each.names) for each in found.surfaces),
                ],
            ),
            confounders=names,
            coefficients=tuple(found.estimates.coefficients.tolist()),
            standard_errors=tuple(found.estimates.standard_errors.tolist()),
            intervals=tuple(map(tuple, found.estimates.intervals.tolist())),
            means=tuple(means.tolist()),
            num_rows=moments.num_rows,
            num_dropped=0,
            num_clusters=found.num_clusters,
            assumptions=described.assumptions,
            breaks_if=described.breaks_if,
            warnings=tuple(warned),
            details=found.details | ({"units": table.sample.units} if table.sample.units else {}),
            group_effects=found.group_effects,
            categories=table.categories,
            curves=curves,
            surfaces=found.surfaces,
        )
        self.coef_ = found.estimates.coefficients
        self.residuals_ = left = found.residuals
        self.left_ = found.left if left is None else left.outcome - left.confounders @ self.coef_
        for sentence in warned:
            warnings.warn(sentence, CorrectionWarning, stacklevel=3)


def _collapsed(found: Found, table: DesignTable, width: int) -> tuple[Found, tuple[Curve, ...]]:
    """Turns the slopes of bends into curves, and those of lines into the best line through each effect."""
    if not table.curves:
        return found, ()
    estimates, moments = found.estimates, table.moments
    counts = [len(curve.knots[curve.inner]) for curve in table.curves]
    owners = np.repeat([table.confounders.index(curve.name) for curve in table.curves], counts)[table.kept]
    is_value = np.repeat([not curve.part for curve in table.curves], counts)[table.kept]
    bends, lines = 1 + width + np.arange(len(owners)), 1 + owners
    along = is_value * moments.cross[lines, bends] * moments.scale[bends] / moments.scale[lines]
    along /= moments.cross[lines, lines]  # the slope of each bend along its line
    onto = np.eye(width, width + len(owners))
    onto[owners, width + np.arange(len(owners))] = along
    slopes, means, by_line = np.zeros((3, len(table.kept)))
    slopes[table.kept], means[table.kept] = estimates.coefficients[width:], moments.means[bends]
    by_line[table.kept] = along
    straight = Estimates(onto @ estimates.coefficients, onto @ estimates.covariance @ onto.T, estimates.degrees)
    left = found.residuals and found.residuals.straightened(estimates.coefficients[width:], width, owners, along)
    return found._replace(estimates=straight, residuals=left), drawn(table.curves, slopes, means, by_line)


@dataclass(eq=False)
class NoCorrection(Corrector):
    """Leaves the outcome as it is: the baseline whose reward contains the confounders' effect."""

    name = "none"
    curved = False

    def _find(self, table: DesignTable) -> Found:
        width = len(table.confounders)
        nothing = Estimates(np.zeros(width), np.zeros((width, width)), float(table.moments.num_rows))
        return Found(nothing, self.name, [], {})


@dataclass(eq=False)
class NaiveResidual(Corrector):
    """Regresses the outcome on the confounders alone and keeps the residual: a baseline, called naive for a reason.

    The coefficient tends to gamma + Cov(C, f(X)) / Var(C), so where texts that are worth more go with the confounder
    the correction takes away a part of their worth.
    """

    name = "ols"
    reads_text = False
    curved: bool = True  # whether numbers are removed by a curve; False is a line each

    def _find(self, table: DesignTable) -> Found:
        sums = estimate(table.read, Layout(len(table.confounders)), table.moments)
        return Found(sums.estimates, self.name, text_warnings(table.sample), {}, sums.num_clusters)
