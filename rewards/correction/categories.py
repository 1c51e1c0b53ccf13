from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rewards.correction._moments import Array
from rewards.correction.numeric import is_like_date, is_number, listed

MOST_LEVELS = 50
LEAST_ROWS = 10  # of a level with a column of its own
MOST_RARE = 0.5  # share of the rows
OTHER = "(other)"
_TEXT, _CODE, _NUMBER, _NAMED = "text", "code", "number", "named by pandas"  # what a value can be
FEW_VALUES = range(3, 11)  # different whole numbers that are a code or a scale, and not an amount


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


def count(values: Any) -> Mapping[Any, int]:
    """Counts the distinct values of a column; of numbers the least ones, a few more than a category has."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or is_category(values):
        return Counter(listed(array))
    distinct, counts = np.unique(array[array == array], return_counts=True)  # but for nan
    few = slice(FEW_VALUES.stop + 1)
    return dict(zip(distinct[few].tolist(), counts[few].tolist(), strict=True))


def find_categories(
    pieces: Iterable[Mapping[str, Any]],
    lines: Collection[str] | None = (),
    count: Callable[[Any], Mapping[Any, int]] = count,
) -> tuple[Category, ...]:
    """Reads the levels of columns that are categories: of texts, none a number or a date, or of few whole numbers.

    Each piece of a table has the columns that may be one; `count` gives their distinct values. Whole numbers are a
    category if there are three to ten of them, with ten rows each; those in `lines`, or all if it is None, are none.
    What pandas calls a category is one whatever it holds.
    """
    counts: dict[str, Counter[str]] = {}
    kinds: dict[str, set[str]] = {}
    for number, piece in enumerate(pieces):
        if not number:
            counts, kinds = {name: Counter() for name in piece}, {name: set() for name in piece}
        for name in list(counts):
            for value, rows in count(piece[name]).items():
                if value is not None and (label := _label(value)) is not None:
                    kinds[name].add(_NAMED if is_category(piece[name]) else _kind(value, label))
                    counts[name][label] += rows
            is_line = lines is None or name in lines
            may_be_codes = kinds[name] <= {_CODE} and not is_line and len(counts[name]) < FEW_VALUES.stop
            if not (may_be_codes or kinds[name] <= {_TEXT} or kinds[name] == {_NAMED}):
                del counts[name]
        if not counts:
            break
    return tuple(
        category(name, counted)
        for name, counted in counts.items()
        if counted and (kinds[name] != {_CODE} or (len(counted) in FEW_VALUES and min(counted.values()) >= LEAST_ROWS))
    )


def _kind(value: Any, label: str) -> str:
    if isinstance(value, int | float | str) and not isinstance(value, bool) and label.removeprefix("-").isdecimal():
        return _CODE
    return _TEXT if isinstance(value, str) and not is_number(value) and not is_like_date(value) else _NUMBER


def is_text(value: Any) -> bool:
    """Tells whether a value can be the label of a category of texts."""
    return isinstance(value, str) and bool(value.strip()) and _kind(value, value.strip()) == _TEXT


def is_category(values: Any) -> bool:
    """Tells whether pandas calls a column a category."""
    return getattr(getattr(values, "dtype", None), "categories", None) is not None


def may_be_category(values: Any) -> bool:
    """Tells whether a column is of a kind that has labels: texts, numbers, or what pandas calls a category."""
    array = np.asarray(values)
    return is_category(values) or (
        array.ndim == 1 and array.dtype.kind in "iufOUT" and not isinstance(values, np.ma.MaskedArray)
    )


def labelled(values: Any) -> Array:
    """Returns every value as a label, None where one is missing; a whole number is the same label as a float."""
    found = np.empty(len(values), dtype=object)
    found[:] = [None if each is None else _label(each) for each in listed(values)]
    return found


def _label(value: Any) -> str | None:
    if isinstance(value, float | str) and str(value).removesuffix(".0").removeprefix("-").isdecimal():
        value = int(float(value))
    return str(value).strip() or None
