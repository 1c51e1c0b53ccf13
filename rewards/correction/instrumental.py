from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from rewards.correction._moments import Array, Layout, Moments
from rewards.correction._sums import estimate
from rewards.correction.chunks import ChunkReader, reorder, reorder_moments
from rewards.correction.columns import Missing, Sample
from rewards.correction.corrector import Corrector, Found, num_clusters
from rewards.correction.double_ml import RIDGE, found_by_residuals, partial_out_text
from rewards.correction.estimates import Estimates
from rewards.correction.refusals import refuse_degenerate, refuse_instruments, refuse_too_few_rows
from rewards.correction.standardising import Units
from rewards.correction.two_stage import TwoStage, two_stage_from_sums, two_stage_least_squares

WEAK_F = 10.0  # Staiger and Stock (1997)
CONTRADICTION_P = 0.01
NO_TEXT = "No text was given, so neither stage controls for it; where texts react to the confounder this is wrong."
OnWeak = Literal["fallback", "refuse", "keep"]


class InstrumentalVariables(Corrector):
    """Two-stage least squares, with the text controlled for in both stages when it is given.

    The text's part of outcome, confounders and instruments is predicted out of fold by ridge regression and taken
    off; the stages run on the residuals. This is the partially linear IV model (Chernozhukov et al. 2018, arXiv
    1608.00060, Eq. 4.8). Without text it is plain two-stage least squares, which is wrong where texts react to the
    confounder.

    Args:
        instrumented: Names of the confounders that the instruments move, None for all numbers. The others, and every
            category, are their own instruments, in both stages.
        on_weak_instrument: What to do when the smallest first-stage F is below `weak_f`: `fallback` to double ML with
            a warning, `refuse`, or `keep` with a warning.
        weak_f: The bound of the rule.
        num_folds: Folds of the cross-fitting.
        max_words: Words that TF-IDF keeps; not used with `features`.
        ridge: Penalties of the ridge regressions to choose from.
        seed: Of the folds.
        missing: `refuse` rows with missing values, or `drop` them.
    """

    name = "iv"

    def __init__(
        self,
        instrumented: Sequence[str] | None = None,
        on_weak_instrument: OnWeak = "fallback",
        weak_f: float = WEAK_F,
        num_folds: int = 5,
        max_words: int = 5000,
        ridge: Sequence[float] = RIDGE,
        seed: int = 0,
        missing: Missing = "refuse",
    ) -> None:
        self.instrumented = instrumented
        self.on_weak_instrument = on_weak_instrument
        self.weak_f = weak_f
        self.num_folds = num_folds
        self.max_words = max_words
        self.ridge = ridge
        self.seed = seed
        self.missing = missing

    def _check(
        self,
        confounders: tuple[str, ...],
        instruments: tuple[str, ...] | None,
        moments: Moments,
        of_levels: frozenset[str],
    ) -> None:
        if self.on_weak_instrument not in get_args(OnWeak):
            raise ValueError(
                f"`on_weak_instrument` must be one of {', '.join(get_args(OnWeak))}; got {self.on_weak_instrument!r}."
            )
        super()._check(confounders, instruments, moments, of_levels)
        if instruments is None:
            raise ValueError("`iv` needs `instruments`, got none. Pass them, or use `dml`, which needs text instead.")
        refuse_too_few_rows(moments.num_rows, 1 + len(confounders) + len(instruments))
        moved = self._moved(confounders, of_levels)
        refuse_instruments(confounders, instruments, moments, int(moved.sum()))
        places = 1 + len(confounders) + np.arange(len(instruments))
        refuse_degenerate(instruments, "instrument", moments, places.tolist())
        own = [name for name, instrumented in zip(confounders, moved, strict=True) if not instrumented]
        both = [*(1 + np.flatnonzero(~moved)).tolist(), *places.tolist()]
        refuse_degenerate([*own, *instruments], "first-stage column", moments, both)

    def _find(self, sample: Sample, units: Units) -> Found:
        assert sample.instruments is not None
        names = sample.confounders.names
        moved = self._moved(names, sample.confounders.of_levels)
        if not sample.has_text:
            stages = _run(sample.outcome, sample.confounders.values, sample.instruments.values, moved, sample.groups)
            return self._judge(names, moved, _in_units(stages, units), None, num_clusters(sample.groups))
        left = partial_out_text(sample, self.num_folds, self.max_words, self.ridge, self.seed)
        assert left.instruments is not None
        stages = _run(left.outcome, left.confounders, left.instruments, moved, sample.groups)
        return self._judge(names, moved, _in_units(stages, units), found_by_residuals(sample, left, units))

    def _find_in_chunks(self, reader: ChunkReader, moments: Moments) -> Found:
        assert reader.instruments is not None
        names = reader.confounders
        moved = self._moved(names, reader.of_levels)
        order = np.concatenate([[0], 1 + _order(moved), 1 + len(names) + np.arange(len(reader.instruments))])
        layout = Layout(int((~moved).sum()), int(moved.sum()), len(reader.instruments))
        sums = estimate(reorder(reader, order), layout, reorder_moments(moments, order))
        stages = _restore(two_stage_from_sums(sums, layout), moved)
        return self._judge(names, moved, stages, None, sums.num_clusters)

    def _judge(
        self,
        names: tuple[str, ...],
        moved: Array,
        stages: TwoStage,
        by_text: Found | None,
        clusters: int | None = None,
    ) -> Found:
        """Applies the weak-instrument rule; `by_text` is double ML on the same residuals, None without text."""
        details = _describe(stages, [name for name, is_moved in zip(names, moved, strict=True) if is_moved])
        if by_text is None:
            found = Found(stages.estimates, self.name, [NO_TEXT], details | {"text_controls": False}, clusters)
        else:
            details |= by_text.details | {"text_controls": True}
            found = by_text._replace(estimates=stages.estimates, estimator=self.name, details=details)
        found.warnings.extend(_contradiction(stages))
        if stages.strength >= self.weak_f:
            return found
        weak = f"The instruments are weak: the smallest first-stage F is {stages.strength:.3g}, below {self.weak_f:g}"
        if self.on_weak_instrument == "keep":
            found.warnings.append(f"{weak}. Kept as asked; neither the coefficient nor its interval can be trusted.")
            return found
        if self.on_weak_instrument == "refuse" or by_text is None:
            lacking = (
                ", and without text there is nothing to fall back to" if self.on_weak_instrument != "refuse" else ""
            )
            raise ValueError(
                f"{weak}{lacking}. Find a stronger instrument, pass `text` or `features` and fall back to `dml`, or "
                "set `on_weak_instrument: keep`."
            )
        found.warnings.append(f"{weak}. Fell back to double ML, which needs that nothing unobserved confounds.")
        return found._replace(estimates=by_text.estimates, estimator=by_text.estimator)

    def _moved(self, names: tuple[str, ...], of_levels: frozenset[str]) -> Array:
        numbers = tuple(name for name in names if name not in of_levels)
        moved = numbers if self.instrumented is None else tuple(self.instrumented)
        unknown = [name for name in moved if name not in numbers]
        if unknown or not moved:
            raise ValueError(
                f"`instrumented` must name some of the confounders that are numbers, {', '.join(numbers) or 'none'}; "
                f"got {', '.join(moved) or 'none'}."
            )
        return np.array([name in moved for name in names])


def _contradiction(stages: TwoStage) -> list[str]:
    p_value = stages.overidentification_p
    if p_value is None or p_value >= CONTRADICTION_P:
        return []
    return [
        f"The instruments contradict each other (over-identification p = {p_value:.2g} < {CONTRADICTION_P}, "
        f"{stages.overidentification_test}): at least one reaches the outcome in another way."
    ]


def _order(moved: Array) -> Array:
    """Returns the numbers of the exogenous confounders, then those of the instrumented ones."""
    return np.concatenate([np.flatnonzero(~moved), np.flatnonzero(moved)])


def _run(outcome: Array, confounders: Array, instruments: Array, moved: Array, groups: Array | None) -> TwoStage:
    stages = two_stage_least_squares(outcome, confounders[:, moved], instruments, confounders[:, ~moved], groups)
    return _restore(stages, moved)


def _in_units(stages: TwoStage, units: Units) -> TwoStage:
    return stages._replace(estimates=units.estimates(stages.estimates))


def _restore(stages: TwoStage, moved: Array) -> TwoStage:
    """Puts the coefficients back into the order of the confounders."""
    back = np.argsort(_order(moved))
    found = stages.estimates
    estimates = Estimates(found.coefficients[back], found.covariance[np.ix_(back, back)], found.degrees)
    return stages._replace(estimates=estimates)


def _describe(stages: TwoStage, moved: Sequence[str]) -> dict[str, Any]:
    return {
        "two_stage_coefficients": stages.estimates.coefficients.tolist(),
        "two_stage_standard_errors": stages.estimates.standard_errors.tolist(),
        "first_stage_f": dict(zip(moved, stages.f_statistics.tolist(), strict=True)),
        "partial_r2": dict(zip(moved, stages.partial_r2.tolist(), strict=True)),
        "cragg_donald": stages.cragg_donald,
        "strength": stages.strength,
        "overidentification": stages.overidentification,
        "overidentification_p": stages.overidentification_p,
        "overidentification_test": stages.overidentification_test,
    }
