from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np

from rewards.correction._moments import Array, Layout, collect, in_chunks
from rewards.correction.corrector import Corrector, Found
from rewards.correction.cross_fitting import partial_out_text
from rewards.correction.double_ml import RIDGE, DoubleML, found_by_residuals
from rewards.correction.least_squares import Sums, estimate
from rewards.correction.refusals import refuse_degenerate, refuse_instruments, refuse_too_few_rows
from rewards.correction.table import DesignTable, reordered, without_bends

WEAK_F = 10.0  # Staiger and Stock (1997)
CONTRADICTION_P = 0.01
NO_TEXT = "No text was given, so neither stage controls for it; where texts react to the confounder this is wrong."
SCORE_TEST = "Wooldridge's robust score test"
CLUSTERED_TEST = "Hansen's J test, clustered by group"
NOT_RUN = (
    f"not tested: {CLUSTERED_TEST}, needs as many groups as it has conditions, and conditions that vary between them; "
    "there are {groups:,} groups and {conditions} conditions"
)
OnWeak = Literal["fallback", "refuse", "keep"]


@dataclass(eq=False)
class InstrumentalVariables(Corrector):
    """Two-stage least squares, with the text controlled for in both stages when it is given.

    The text's part of outcome, confounders and instruments is predicted out of fold by ridge regression and taken off;
    the stages run on the residuals. This is the partially linear IV model (Chernozhukov et al. 2018, arXiv 1608.00060,
    Eq. 4.8). Without text it is plain two-stage least squares, which is wrong where texts react to the confounder.

    Confounders that are not `instrumented`, and every category, are their own instruments, in both stages.
    """

    name = "iv"
    instrumented: Sequence[str] | None = None  # confounders that the instruments move, None for all numbers
    on_weak_instrument: OnWeak = "fallback"  # to double ML with a warning; or `refuse`, or `keep` with one
    weak_f: float = WEAK_F  # least first-stage F of instruments that are not weak
    num_folds: int = 5  # of the cross-fitting
    max_words: int = 2000  # that TF-IDF keeps; not used with `features`
    ridge: Sequence[float] = RIDGE  # penalties to choose from
    seed: int = 0  # of the folds
    curved: bool = True  # whether numbers are removed by a curve; False is a line each

    @property
    def lines(self) -> Collection[str] | None:
        """Names the confounders that the instruments move."""
        return self.instrumented

    def _check(self, table: DesignTable) -> None:
        confounders, instruments, moments = table.confounders, table.instruments, table.moments
        if self.on_weak_instrument not in get_args(OnWeak):
            raise ValueError(
                f"`on_weak_instrument` must be one of {', '.join(get_args(OnWeak))}; got {self.on_weak_instrument!r}."
            )
        super()._check(table)
        if instruments is None:
            raise ValueError("`iv` needs `instruments`, got none. Pass them, or use `dml`, which needs text instead.")
        refuse_too_few_rows(moments.num_rows, 1 + len(confounders) + len(instruments))
        moved = self._moved(table)
        refuse_instruments(confounders, instruments, moments, int(moved.sum()))
        places = 1 + len(confounders) + np.arange(len(instruments))
        refuse_degenerate(instruments, "instrument", moments, places.tolist())
        own = [name for name, instrumented in zip(confounders, moved, strict=True) if not instrumented]
        both = [*(1 + np.flatnonzero(~moved)).tolist(), *places.tolist()]
        refuse_degenerate([*own, *instruments], "first-stage column", moments, both)

    def _find(self, table: DesignTable) -> Found:
        sample, instruments = table.sample, table.instruments or ()
        moved, left, read, moments = self._moved(table), None, table.read, table.moments
        if sample.has_text:
            args = self.num_folds, self.max_words, self.ridge, self.seed
            left = partial_out_text(sample, moments, *args)
            read = in_chunks(np.column_stack([part for part in left[:3] if part is not None]), sample.groups)
            moments = collect(read)
        order = np.concatenate([np.flatnonzero(~moved), np.flatnonzero(moved)])  # exogenous confounders come first
        places = np.concatenate([[0], 1 + order, 1 + len(moved) + np.arange(len(instruments))])
        layout = Layout(int((~moved).sum()), int(moved.sum()), len(instruments))
        read, moments = reordered(read, moments, places)
        stages = estimate(read, layout, moments)
        stages = stages._replace(estimates=stages.estimates.picked(np.argsort(order)))
        by_text = None if left is None else found_by_residuals(sample, left)
        names = np.array(table.confounders)[moved].tolist()
        return self._judge(stages, _describe(stages, layout, names, np.flatnonzero(moved)), by_text)

    def _judge(self, stages: Sums, details: dict[str, Any], by_text: Found | None) -> Found:
        """Applies the weak-instrument rule; `by_text` is double ML on the same residuals, None without text."""
        if by_text is None:
            found = Found(stages.estimates, self.name, [NO_TEXT], details | {"text_controls": False})
            found = found._replace(num_clusters=stages.num_clusters)
        else:
            details |= by_text.details | {"text_controls": True}
            found = by_text._replace(estimates=stages.estimates, estimator=self.name, details=details)
        found.warnings.extend(_contradiction(details))
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
                f"{weak}{lacking}. Find a stronger instrument, or pass `text` or `features` and fall back to `dml`."
            )
        found.warnings.append(f"{weak}. Fell back to double ML, which needs that nothing unobserved confounds.")
        own = {name: value for name, value in self.get_params().items() if name in DoubleML().get_params()}
        return found._replace(instead=DoubleML(**own))

    def _moved(self, table: DesignTable) -> Array:
        numbers = tuple(each for each in without_bends(table.confounders) if each not in table.of_levels)
        moved = numbers if self.instrumented is None else tuple(self.instrumented)
        unknown = [name for name in moved if name not in numbers]
        if unknown or not moved:
            raise ValueError(
                f"`instrumented` must name some of the confounders that are numbers, {', '.join(numbers) or 'none'}; "
                f"got {', '.join(moved) or 'none'}."
            )
        return np.array([name in moved for name in table.confounders])


def _describe(sums: Sums, layout: Layout, moved: Sequence[str], places: Array) -> dict[str, Any]:
    """Lists what tells whether to believe the stages; a small p says that the instruments contradict each other."""
    over, surplus = sums.overidentification, layout.instruments - layout.endogenous
    test = None if not surplus else SCORE_TEST if sums.num_clusters is None else CLUSTERED_TEST
    if surplus and over is None:
        conditions = 1 + layout.exogenous + layout.instruments
        test = NOT_RUN.format(groups=sums.num_clusters, conditions=conditions)
    return {
        "two_stage_coefficients": sums.estimates.coefficients[places].tolist(),
        "two_stage_standard_errors": sums.estimates.standard_errors[places].tolist(),
        "first_stage_f": dict(zip(moved, sums.f_statistics.tolist(), strict=True)),
        "partial_r2": dict(zip(moved, sums.partial_r2.tolist(), strict=True)),
        "cragg_donald": sums.cragg_donald,
        "strength": sums.strength,
        "overidentification": over,
        "overidentification_p": None if over is None else float(import_module("scipy.special").chdtrc(surplus, over)),
        "overidentification_test": test,
    }


def _contradiction(details: Mapping[str, Any]) -> list[str]:
    p_value = details["overidentification_p"]
    if p_value is None or p_value >= CONTRADICTION_P:
        return []
    return [
        f"The instruments contradict each other (over-identification p = {p_value:.2g} < {CONTRADICTION_P}, "
        f"{details['overidentification_test']}): at least one reaches the outcome in another way."
    ]
