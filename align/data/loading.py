"""Loads rows, turns each into what its checks return, and keeps account of those that cannot be used."""

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from align.data.adapters import Adapter, AdapterError
from align.data.files import RawRow, Row, read_rows
from align.data.problems import BadRow, DataReport, RowProblem, bad_rows_error, shorten
from align.errors import DataError


class Item(Protocol):
    """What becomes of a row."""

    @property
    def id(self) -> str:
        """Its name, unique in the data set."""

    @property
    def row(self) -> int:
        """Where it stood in the file."""


T = TypeVar("T", bound=Item)
R = TypeVar("R")


def load_rows(
    report: DataReport,
    check: Callable[[Row, RawRow], T],
    *,
    adapter: tuple[str, Adapter] | None,
    split: str | None,
    on_bad_rows: Literal["raise", "skip"],
    max_rows: int | None,
) -> list[T]:
    """Reads the file of a report and fills the report.

    Args:
        report: An empty one.
        check: Makes an item from a row in our schema, and raises `BadRow` if it cannot.
        adapter: Name and function that turn the rows into our schema.
        split: Split of a folder or hub data set.
        on_bad_rows: Whether rows that cannot be used stop everything, or are left out.
        max_rows: Read only this many rows.

    Raises:
        DataError: If the file is missing or empty, no row can be used, or with `raise` a row cannot be used.
    """
    items: dict[str, T] = {}
    for raw in islice(read_rows(report.file, split), max_rows):
        report.num_read += 1
        result = read_row(raw, report.file, adapter, check)
        if not isinstance(result, RowProblem) and result.id in items:
            remedy = f"Row {items[result.id].row} has it: rename one."
            result = RowProblem(report.file, raw.row, "id", shorten(result.id), "the id is taken", remedy)
        if isinstance(result, RowProblem):
            report.problems.append(result)
        else:
            items[result.id] = result
    report.num_kept = len(items)
    if report.num_read == 0:
        raise DataError(f"{report.file} holds no rows. Give a data set with at least one.")
    if report.problems and (on_bad_rows == "raise" or not items):
        raise bad_rows_error(report.file, report.problems, report.num_read)
    return list(items.values())


def find_adapter(name: str | None, adapters: Mapping[str, Adapter]) -> tuple[str, Adapter] | None:
    """Looks an adapter up.

    Raises:
        DataError: If there is none of this name.
    """
    if name is None:
        return None
    if name not in adapters:
        raise DataError(f"Unknown adapter {name!r}. Known adapters: {', '.join(adapters)}.")
    return name, adapters[name]


def name_row(row: int, file: str) -> str:
    """Names a row that has no id of its own after its file and place."""
    return f"{Path(file).stem}-{row}"


def read_row(
    raw: RawRow, file: str, adapter: tuple[str, Adapter] | None, check: Callable[[Row, RawRow], R]
) -> R | RowProblem:
    """Turns one row into what its checks return, or says why it cannot be used."""
    if isinstance(raw.content, RowProblem):
        return raw.content
    try:
        return check(raw.content if adapter is None else _convert(raw.content, *adapter), raw)
    except BadRow as bad:
        return RowProblem(file, raw.row, bad.column, bad.value, bad.rule, bad.remedy)
    except AdapterError as error:
        value = shorten(raw.content.get(error.column))
        return RowProblem(file, raw.row, error.column, value, error.rule, error.remedy)


def _convert(row: Row, name: str, adapter: Adapter) -> dict[str, Any]:
    try:
        return adapter(row)
    except KeyError as error:
        remedy = f"The row has: {', '.join(map(str, row))}. Check `adapter`."
        raise BadRow(str(error.args[0]), None, f"the adapter `{name}` needs this column", remedy) from error
