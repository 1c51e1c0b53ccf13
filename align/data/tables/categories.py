"""Which confounders of a table are categories, and what levels they have."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from align.data.tables.cells import NUMBERS, label_of, read_numbers
from align.data.tables.reading import Table
from align.errors import DataError
from rewards.correction.categories import LEAST_ROWS, Category, category, is_like_date

if TYPE_CHECKING:
    import pyarrow as pa

FEW_VALUES = range(3, 11)  # different whole numbers that are a code or a scale, and not an amount


def find_categories(table: Table, names: Sequence[str], numbers: Collection[str]) -> tuple[Category, ...]:
    """Reads the levels of confounders, not those in `numbers`, that hold texts or few different whole numbers."""
    few = {name for name in names if name not in numbers and _is_few(table.first.column(name), name)}
    counts: dict[str, Counter[str]] = {
        name: Counter() for name in names if name in few or _is_text(table.first.column(name), name)
    }
    if not counts:
        return ()
    for batch in table.batches():
        for name in list(counts):
            if name in few and not (_is_few(batch.column(name), name) and len(counts[name]) < FEW_VALUES.stop):
                del counts[name]
            else:
                counts[name].update(_count(batch.column(name)))
    try:
        return tuple(
            category(name, counted)
            for name, counted in counts.items()
            if name not in few or (len(counted) in FEW_VALUES and min(counted.values()) >= LEAST_ROWS)
        )
    except ValueError as error:
        raise DataError(f"{table.path}: {error}") from error


def _is_text(column: "pa.Array", name: str) -> bool:
    values = column.unique()
    found = read_numbers(values, name, "confounder")
    labels = [value for value in values.to_pylist() if value is not None]
    is_text = all(isinstance(value, str) and not is_like_date(value) for value in labels)
    return is_text and bool(found.unusable) and not np.isfinite(found.values.astype(float)).any()


def _is_few(column: "pa.Array", name: str) -> bool:
    """Tells whether all values are whole numbers, and there are no more of them than a category has."""
    values = column.unique()
    if len(values) > FEW_VALUES.stop:  # and one for those that are missing
        return False
    found = read_numbers(values, name, "confounder")
    given = [value for value in map(label_of, values.to_pylist()) if value is not None]
    return found.unit == NUMBERS and all(label.removeprefix("-").isdecimal() for label in given)


def _count(column: "pa.Array") -> Counter[str]:
    found: Counter[str] = Counter()
    for each in column.value_counts().to_pylist():
        if (label := label_of(each["values"])) is not None:
            found[label] += each["counts"]
    return found
