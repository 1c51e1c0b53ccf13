"""The fitted correction: what was estimated, in numbers and words, and how an outcome becomes a reward."""

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from rewards.correction._moments import Array
from rewards.correction.categories import Category
from rewards.correction.columns import Columns, CorrectionWarning, read_columns, select
from rewards.correction.curves import Curve
from rewards.correction.numeric import read_numbers
from rewards.correction.surfaces import Axis, Surface

FORMAT = "truealign.correction/1"


class EstimatorWords(NamedTuple):
    """What an estimator takes for granted, and what would break it, as a report can print it."""

    assumptions: tuple[str, ...]
    breaks_if: str


_ADDITIVE = (
    "The confounders add to the outcome, each by a curve, or by a line if instrumented, the same for every text."
)

WORDS = {
    "iv": EstimatorWords(
        (
            _ADDITIVE,
            "Each instrument moves the confounder.",
            "An instrument reaches the outcome through the confounder only.",
            "Given the text, an instrument shares no cause with the outcome.",
            "Given the text, confounders without an instrument share no unobserved cause with the outcome.",
        ),
        "The instrument changes the outcome by another way than the confounder, or hardly moves the confounder; or an "
        "unobserved cause moves the confounder and the outcome while the text reacts to the confounder.",
    ),
    "dml": EstimatorWords(
        (
            _ADDITIVE,
            "Given the text, nothing unobserved moves both the confounder and the outcome.",
            "Given the text, the confounder still varies.",
            "The confounders are measured without error.",
            "Ridge regression on the features finds what the text says about outcome and confounder.",
        ),
        "An unobserved cause moves the confounder and the outcome, or the confounder is measured with error.",
    ),
    "fixed_effects": EstimatorWords(
        (
            _ADDITIVE,
            "Whatever else confounds is the same for all rows of a group and adds to their outcome.",
            "The features hold what the text is worth, in proportion, so that group effects leave it in place.",
            "Within groups, nothing unobserved moves both a confounder and the outcome.",
        ),
        "Something that confounds changes within a group, or no text is given, so that a group's effect contains what "
        "its texts are worth.",
    ),
    "ols": EstimatorWords(
        (_ADDITIVE, "The worth of a text is unrelated to the confounders, and so is everything else unobserved."),
        "Texts that are worth more appear where the confounder is high or low: the residual then takes away a part of "
        "what the text is worth.",
    ),
    "none": EstimatorWords(
        ("The confounders do not move the outcome, or are unrelated to the text.",),
        "A confounder moves the outcome and goes with some texts: the reward then pays those texts for it.",
    ),
}


@dataclass(frozen=True)
class Correction:
    """Maps an observed outcome and its confounders to a reward without the confounders' effect."""

    estimator: str  # what the coefficients come from; differs from `requested` after a fallback
    requested: str
    formula: str  # the correction in words
    confounders: tuple[str, ...]  # K names
    coefficients: tuple[float, ...]  # effect of one unit of each confounder on the outcome
    standard_errors: tuple[float, ...]  # 0 where nothing was estimated
    intervals: tuple[tuple[float, float], ...]  # of 95 %
    means: tuple[float, ...]  # where the correction was fitted; corrected outcomes are those at the mean
    num_rows: int  # that were used
    num_dropped: int  # that whoever read the rows left out
    num_clusters: int | None  # groups that the errors are clustered by, None without
    assumptions: tuple[str, ...]  # which make the coefficients the confounders' effect
    breaks_if: str  # what would break the assumptions
    warnings: tuple[str, ...] = ()  # of fitting
    details: dict[str, Any] = field(default_factory=dict)  # other results of the estimator, ready for JSON
    group_effects: tuple[tuple[Any, float], ...] = ()  # label and effect less the mean effect, for fixed effects
    categories: tuple[Category, ...] = ()  # whose levels some of the confounders are
    curves: tuple[Curve, ...] = ()  # what confounders do beyond their line
    surfaces: tuple[Surface, ...] = ()  # what pairs of confounders do beyond their curves

    @property
    def columns(self) -> tuple[str, ...]:
        """Names the columns that the confounders are read from; one of a category became several."""
        origin = {name: each.name for each in self.categories for name in each.columns}
        return tuple(dict.fromkeys(origin.get(name, name) for name in self.confounders))

    def correct(self, outcome: Any, confounders: Any, *, groups: Any = None) -> Array:
        """Returns `outcome - coefficients' (confounders - means) - curves - surfaces - group effect`, for any rows.

        Confounders are a table with the fitted names, or `(N, K)` in their order; `groups` are for fixed effects. A
        row with a missing value gets nan. A group that was not fitted counts as an average one, with a warning. Raises
        `ValueError` if a confounder, or the groups that the correction needs, are not given.
        """
        observed = read_numbers(outcome, "outcome", "outcome")
        columns = select(read_columns(confounders, "confounder", self.categories), self.confounders, "confounder")
        self._check_units(columns)
        outcome, values = observed.values, columns.values - np.array(self.means)
        if len(values) != len(outcome):
            raise ValueError(f"All columns must have one value per row, got {len(outcome)} and {len(values)}.")
        corrected = outcome - values @ np.array(self.coefficients)
        for curve in self.curves:
            place = self.confounders.index(curve.name)
            corrected = corrected - curve.at(values[:, place], self.means[place])
        for surface in self.surfaces:
            corrected = corrected - surface.at(self.confounders, values, np.array(self.means), self.categories)
        if not self.group_effects:
            return np.asarray(corrected)
        effects, labels = dict(self.group_effects), self._labels(groups, len(outcome))
        if unknown := sum(label not in effects for label in labels):
            warnings.warn(
                f"{unknown} of {len(labels)} rows are of a group that was not fitted; they count as an average one.",
                CorrectionWarning,
                stacklevel=2,
            )
        return np.asarray(corrected - [effects.get(label, 0.0) for label in labels])

    def unknown_groups(self, groups: Any) -> int:
        """Counts rows whose group was not fitted and which are therefore not corrected for it; 0 without effects."""
        known = {label for label, _ in self.group_effects}
        labels = np.asarray(groups, dtype=object).tolist() if known and groups is not None else []
        return sum(as_label(label) not in known for label in labels)

    def _check_units(self, columns: Columns) -> None:
        fitted = self.details.get("units", {})
        for name in self.confounders:
            if len(columns.values) and fitted.get(name) != columns.units.get(name):
                raise ValueError(
                    f"The correction was fitted with {name!r} in {fitted.get(name, 'numbers')}, and gets it in "
                    f"{columns.units.get(name, 'numbers')}. Pass the same kind of column, or fit again."
                )

    def _labels(self, groups: Any, num_rows: int) -> list[Any]:
        labels = [] if groups is None else [as_label(label) for label in np.asarray(groups).tolist()]
        if len(labels) != num_rows:
            raise ValueError(
                f"The correction has an effect per group and needs `groups` with one label per row, got {len(labels)} "
                f"for {num_rows} rows. Pass the column it was fitted with."
            )
        return labels

    def to_json(self) -> str:
        """Writes the correction as JSON; `from_json` gives an equal one back."""
        return json.dumps({"format": FORMAT} | asdict(self), indent=1, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Correction":
        """Reads what `to_json` wrote; raises `ValueError` if the text is not a correction in this format."""
        record = json.loads(text)
        found = record.pop("format", None) if isinstance(record, dict) else None
        if found != FORMAT:
            raise ValueError(f"A correction must have the format {FORMAT!r}, got {found!r}. Fit and save it again.")
        lists = {name: _tuples(value) for name, value in record.items() if name != "details"}
        for name, kind in (("categories", Category), ("curves", Curve)):
            lists[name] = tuple(kind(*each) for each in lists.get(name, ()))
        lists["surfaces"] = tuple(
            Surface((Axis(*first), Axis(*second)), effects) for (first, second), effects in lists.get("surfaces", ())
        )
        return cls(**lists, details=record["details"])

    def save(self, path: Path | str) -> None:
        """Writes the correction to a file, which is whole or not there."""
        path = Path(path)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(self.to_json() + "\n", encoding="utf-8")
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path | str) -> "Correction":
        """Reads a file that `save` wrote; raises `ValueError` if it is not a correction in this format."""
        return cls.from_json(Path(path).read_text(encoding="utf-8"))


def as_label(value: Any) -> Any:
    """Returns the label of a group as JSON can hold it: a date as text."""
    return value.isoformat() if isinstance(value, date) else value


def formula_in_words(
    names: tuple[str, ...],
    coefficients: Array,
    means: Array,
    has_groups: bool = False,
    *,
    deviations: Array | None = None,
    units: Mapping[str, str] = MappingProxyType({}),
    beyond: Sequence[str] = (),
) -> str:
    """Writes the correction as a formula, and what dates were turned into; means are exact to a part of the deviation.

    Example:
        >>> formula_in_words(("popularity",), np.array([2.5]), np.array([0.25]))
        'reward = outcome - 2.5 * (popularity - 0.25)'
    """
    deviations = np.abs(means) if deviations is None else deviations
    terms = [
        f" {'-' if slope >= 0 else '+'} {abs(slope):.6g} * ({name} {'-' if mean >= 0 else '+'} "
        f"{abs(mean):.{_digits(mean, deviation)}g})"
        for name, slope, mean, deviation in zip(names, coefficients, means, deviations, strict=True)
    ]
    dates = "".join(f"; {name} in {units[name]}" for name in names if name in units)
    terms += [f" - {each}" for each in beyond]
    return "reward = outcome" + "".join(terms) + (" - effect of the group" if has_groups else "") + dates


def _digits(mean: float, deviation: float) -> int:
    if not mean or not deviation:
        return 6
    return int(np.clip(4 + np.ceil(np.log10(abs(mean)) - np.log10(deviation)), 6, 17))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
