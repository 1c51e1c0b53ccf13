"""Reads what a user passes as outcome, confounders, instruments, groups and text into arrays of one length."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from rewards.correction._moments import Array
from rewards.correction.categories import Category, find_categories, labelled, may_be_category
from rewards.correction.numeric import listed, read_numbers

BEND = "\0bend "  # what the names of the columns of a curve begin with, as no name of a user's does


class CorrectionWarning(UserWarning):
    """Something about the data that makes a correction doubtful."""


class Columns(NamedTuple):
    """K named numeric columns."""

    names: tuple[str, ...]
    values: Array  # (N, K) in float64
    units: Mapping[str, str] = MappingProxyType({})  # that dates were turned into, by the name of the column
    categories: tuple[Category, ...] = ()  # whose levels some of the columns are


class Observations(NamedTuple):
    """The N rows that an estimator sees; what was not given is None."""

    outcome: Array
    confounders: Columns
    instruments: Columns | None = None
    groups: Array | None = None
    text: Array | None = None  # N texts
    features: Any = None  # (N, D) array or scipy sparse matrix that stands for the text
    outcome_unit: str | None = None  # that dates of the outcome were turned into

    @property
    def units(self) -> dict[str, str]:
        """Returns what dates were turned into, by the name of the column."""
        found = {} if self.outcome_unit is None else {"outcome": self.outcome_unit}
        return found | dict(self.confounders.units) | dict(self.instruments.units if self.instruments else {})

    @property
    def num_rows(self) -> int:
        """Returns N."""
        return len(self.outcome)

    @property
    def has_text(self) -> bool:
        """Tells whether there is a text, or features of it."""
        return self.text is not None or self.features is not None


def read_columns(
    values: Any, kind: str, categories: Sequence[Category] | None = None, lines: Collection[str] | None = ()
) -> Columns:
    """Reads a table, a mapping from names to columns, or an `(N,)` or `(N, K)` array.

    A confounder of texts that are neither numbers nor dates, of three to ten whole numbers with ten rows each, or that
    pandas calls one, is a category: one of `categories` or, if None, of the values. Those in `lines`, and all if it is
    None, stay numbers. The columns of an array are named `<kind>_0`, `<kind>_1`, ... Raises `ValueError` if a column
    is neither numeric nor a category.
    """
    if isinstance(values, Columns):
        return values
    table = _table_of(values, kind)
    if categories is None:
        may_be = {name: column for name, column in table.items() if kind == "confounder" and may_be_category(column)}
        categories = find_categories([may_be], lines)
    known = {each.name: each for each in categories}
    parts = [
        coded(known[name], labelled(column)) if name in known else _numbers(column, name, kind)
        for name, column in table.items()
    ]
    return beside(parts) if parts else Columns((), np.empty((len(values), 0)))


def _table_of(values: Any, kind: str) -> dict[str, Any]:
    if isinstance(values, Mapping) or hasattr(values, "columns"):
        return {str(name): values[name] for name in (values if isinstance(values, Mapping) else values.columns)}
    array = np.asarray(values)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise ValueError(f"`{kind}s` must be `(N,)` or `(N, K)`, got shape {array.shape}. Pass one column per {kind}.")
    if array.shape[1] == 1 and np.ndim(values) == 1:
        return {str(getattr(values, "name", None) or f"{kind}_0"): values}
    return {f"{kind}_{k}": column for k, column in enumerate(array.T)}


def _numbers(values: Any, name: str, kind: str) -> Columns:
    found = read_numbers(values, name, kind)
    return Columns((name,), found.values[:, None], MappingProxyType({} if found.unit is None else {name: found.unit}))


def coded(category: Category, labels: Array) -> Columns:
    """Returns the columns of 0 and 1 of a category; a level that was not fitted is warned of."""
    if unknown := int(category.unknown(labels).sum()):
        warnings.warn(
            f"{unknown:,} of {len(labels):,} rows have a level of {category.name!r} that was not fitted; they count "
            "as average ones.",
            CorrectionWarning,
            stacklevel=3,
        )
    return Columns(category.columns, category.code(labels), categories=(category,))


def beside(parts: Sequence[Columns]) -> Columns:
    """Puts columns of the same rows side by side."""
    return Columns(
        tuple(name for part in parts for name in part.names),
        np.hstack([part.values for part in parts]),
        MappingProxyType({name: unit for part in parts for name, unit in part.units.items()}),
        tuple(each for part in parts for each in part.categories),
    )


def select(columns: Columns, names: Sequence[str], kind: str) -> Columns:
    """Returns the columns in the order of `names`; those of an unnamed array go by place."""
    if set(names) <= set(columns.names):
        places = [columns.names.index(name) for name in names]
        return columns._replace(names=tuple(names), values=columns.values[:, places])
    unnamed = columns.names == tuple(f"{kind}_{k}" for k in range(len(columns.names)))
    if unnamed and len(columns.names) == len(names):
        return columns
    lacking = [name for name in names if name not in columns.names]
    raise ValueError(
        f"The correction was fitted with the {kind}s {', '.join(names)}; got {', '.join(columns.names) or 'none'}, "
        f"without {', '.join(lacking)}. Pass the same columns."
    )


def read_sample(
    outcome: Any,
    confounders: Any,
    *,
    text: Any = None,
    features: Any = None,
    instruments: Any = None,
    groups: Any = None,
    categories: Sequence[Category] | None = None,
    lines: Collection[str] | None = (),
) -> Observations:
    """Reads the parts of a table; raises `ValueError` unless they have one length and no value is missing."""
    observed = read_numbers(outcome, "outcome", "outcome")
    sample = Observations(
        observed.values,
        read_columns(confounders, "confounder", categories, lines),
        None if instruments is None else read_columns(instruments, "instrument"),
        None if groups is None else np.asarray(groups),
        None if text is None else np.asarray(text, dtype=object),
        features if features is None or hasattr(features, "tocsr") else np.asarray(features, dtype=float),
        outcome_unit=observed.unit,
    )
    _check_lengths(sample)
    holes = {name: mask for name, mask in _missing(sample).items() if mask.any()}
    if holes:
        counts = ", ".join(f"{name} ({mask.sum()} rows)" for name, mask in holes.items())
        first = min(int(np.argmax(mask)) for mask in holes.values())
        raise ValueError(
            f"Values are missing or not finite in {counts}, first in row {first}. Fill them, or leave such rows out."
        )
    return sample


def _check_lengths(sample: Observations) -> None:
    lengths = {"outcome": len(sample.outcome), "confounders": len(sample.confounders.values)}
    if sample.instruments is not None:
        lengths["instruments"] = len(sample.instruments.values)
    for name in ("groups", "text"):
        if (values := getattr(sample, name)) is not None:
            lengths[name] = len(values)
    if sample.features is not None:
        lengths["features"] = sample.features.shape[0]
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"All columns must have one value per row, got {shown}.")
    names = sample.confounders.names
    if len(set(names)) < len(names):
        raise ValueError(f"Confounders must have distinct names, got {', '.join(names)}.")


def _missing(sample: Observations) -> dict[str, Array]:
    found: dict[str, Array] = {"outcome": ~np.isfinite(sample.outcome)}
    for columns in (sample.confounders, sample.instruments):
        if columns is not None:
            for name, column in zip(columns.names, columns.values.T, strict=True):
                found[name] = ~np.isfinite(column)
    if sample.groups is not None:
        found["groups"] = np.array([label is None for label in listed(sample.groups)], dtype=bool)
    if sample.text is not None:
        found["text"] = np.array([not isinstance(text, str) for text in sample.text], dtype=bool)
    if isinstance(sample.features, np.ndarray):
        found["features"] = np.asarray(~np.isfinite(sample.features).all(axis=1))
    return found
