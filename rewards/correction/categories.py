import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rewards.correction._moments import Array

MOST_LEVELS = 50
LEAST_ROWS = 10  # of a level with a column of its own
MOST_RARE = 0.5  # share of the rows
OTHER = "(other)"
FEW_VALUES = range(3, 11)  # different whole numbers that are a code or a scale, and not an amount
EXACT = 2**53  # float64 tells neighbouring integers apart up to here


class Category(NamedTuple):
    """A column of labels as its levels, the most frequent one first: the others are compared with it."""

    name: str
    levels: tuple[str, ...]  # labels; the last one is `OTHER` where rare ones are put together
    counts: tuple[int, ...]  # rows of each level
    rare: int = 0  # number of labels that are put together

    @property
    def columns(self) -> tuple[str, ...]:
        """Names the columns of 0 and 1."""
        return tuple(f"{self.name} = {level}" for level in self.levels[1:])

    @property
    def in_words(self) -> str:
        """Says which labels are put together; empty if none are."""
        if not self.rare:
            return ""
        return (
            f"The category {self.name!r} has {len(self.levels) - 1 + self.rare:,} levels; {self.rare:,} of them, "
            f"with fewer than {LEAST_ROWS} rows or beyond the {MOST_LEVELS} most frequent ones, are taken as one, "
            f"{OTHER!r} ({self.counts[-1]:,} rows)."
        )

    def unknown(self, labels: Array) -> Array:
        """Returns an `(N,)` mask of labels that are no level and cannot be `OTHER`."""
        if self.rare:
            return np.zeros(len(labels), dtype=bool)
        known = {None, *self.levels}
        return np.array([label not in known for label in labels.tolist()], dtype=bool)

    def code(self, labels: Array) -> Array:
        """Returns `(N, levels - 1)` columns of 0 and 1: nan where the label is None, the means where it is unknown."""
        places = {level: place for place, level in enumerate(self.levels)} | {None: -1}
        unknown = len(self.levels) - 1 if self.rare else -2
        codes = np.array([places.get(label, unknown) for label in labels.tolist()], dtype=int)
        coded = (codes[:, None] == np.arange(1, len(self.levels))).astype(float)
        coded[codes == -1] = np.nan
        coded[codes == -2] = np.array(self.counts[1:]) / sum(self.counts)
        return coded


def category(name: str, counts: Mapping[str, int]) -> Category:
    """Makes a category of the labels of a column; raises `ValueError` for one level, or for mostly rare ones."""
    order = sorted(counts, key=lambda label: (-counts[label], label))
    kept = [label for label in order[:MOST_LEVELS] if counts[label] >= LEAST_ROWS] or order[:1]
    rare, total = order[len(kept) :], sum(counts.values())
    if len(order) == 1:
        raise ValueError(
            f"The confounder {name!r} must vary, but is {order[0]!r} in every row. Leave it out: a constant cannot "
            "confound anything."
        )
    num_rare = sum(counts[label] for label in rare)
    if num_rare > MOST_RARE * total:
        raise ValueError(
            f"The confounder {name!r} must hold numbers, dates or a category of few levels, but has {len(order):,} "
            f"different texts in {total:,} rows, and {num_rare:,} rows are of texts with fewer than {LEAST_ROWS} rows "
            f"or beyond the {MOST_LEVELS} most frequent ones. Leave it out, or put its values together."
        )
    if len(rare) == 1:
        return Category(name, tuple(order), tuple(counts[label] for label in order))
    tail = ((OTHER,), (num_rare,)) if rare else ((), ())
    return Category(name, (*kept, *tail[0]), (*(counts[label] for label in kept), *tail[1]), len(rare))


def is_like_date(text: str) -> bool:
    """Tells whether a text looks like a date in another form than ISO 8601, which is no level of a category."""
    return re.match(r"\s*\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b", text) is not None


def listed(values: Any) -> list[Any]:
    """Lists values, None where one is missing: nan, pandas' NA and NaT are not equal to themselves."""
    return [None if each is None or (each == each) is not True else each for each in np.asarray(values).tolist()]


def labels_of(values: Any) -> Array | None:
    """Returns a column of texts as labels, None where one is missing; None if a value is no text."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "OUT":
        return None
    found = listed(array)
    texts = [each for each in found if each is not None]
    if not texts or not all(isinstance(each, str) for each in texts) or any(map(is_like_date, texts)):
        return None
    return _as_array([(each.strip() or None) if each else None for each in found])


def is_category(values: Any) -> bool:
    """Tells whether pandas calls a column a category."""
    return getattr(getattr(values, "dtype", None), "categories", None) is not None


def holds_few_numbers(values: Any) -> bool:
    """Tells whether a column holds nothing but three to ten different whole numbers."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iufOU" or isinstance(values, np.ma.MaskedArray):
        return False
    try:
        distinct = np.unique(np.where(array == None, np.nan, array).astype(float))  # noqa: E711
    except (TypeError, ValueError):
        return False
    distinct = distinct[~np.isnan(distinct)]
    return len(distinct) in FEW_VALUES and not (distinct % 1).any() and np.abs(distinct).max() <= EXACT


def are_codes(counts: Mapping[str, int]) -> bool:
    """Tells whether whole numbers are few enough, and each frequent enough, to be the codes of a category."""
    return len(counts) in FEW_VALUES and min(counts.values()) >= LEAST_ROWS


def labelled(values: Any) -> Array:
    """Returns every value as a label, None where one is missing; a whole number is the same label as a float."""
    return _as_array([None if each is None else _label(each) for each in listed(values)])


def _as_array(labels: list[str | None]) -> Array:
    found = np.empty(len(labels), dtype=object)
    found[:] = labels
    return found


def _label(value: Any) -> str | None:
    if isinstance(value, float | str) and str(value).removesuffix(".0").removeprefix("-").isdecimal():
        value = int(float(value))
    return str(value).strip() or None


def count(labels: Array) -> Counter[str]:
    """Counts labels, but for the missing ones."""
    return Counter(label for label in labels.tolist() if label is not None)
