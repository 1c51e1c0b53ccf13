"""Loads rows, turns each into what its checks return, and keeps account of those that cannot be used."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from align.data.columns import MISSING, NEEDED, Columns, Lacking, NeverThere, rename
from align.data.files import RawRow, Row, read_rows
from align.data.problems import BadRow, DataReport, RowProblem, bad_rows_error, printable, shorten
from align.data.questions.adapters import Adapter, AdapterError
from align.data.stored_items import ItemKeeper
from align.data.texts import check_values
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


class Schema(NamedTuple):
    """What rows may look like.

    Attributes:
        needs: Columns of ours that every row needs.
        adapter: Name and function that turn the rows into our schema.
        known: The adapters there are, to be proposed where columns are missing.
        columns: Our names of columns that have another name in the file; None where no recipe can say so.
    """

    needs: tuple[str, ...]
    adapter: tuple[str, Adapter] | None = None
    known: Mapping[str, Adapter] = {}
    columns: Columns | None = None


def load_rows(
    report: DataReport,
    check: Callable[[Row, RawRow], T],
    schema: Schema,
    *,
    split: str | None,
    on_bad_rows: Literal["raise", "skip"],
    max_rows: int | None,
) -> list[T]:
    """Reads the file of a report and fills the report.

    Args:
        report: An empty one.
        check: Makes an item from a row in our schema, and raises `BadRow` if it cannot.
        schema: What the rows look like.
        split: Split of a folder or hub data set.
        on_bad_rows: Whether rows that cannot be used stop everything, or are left out.
        max_rows: Read only this many rows.

    Raises:
        DataError: If the file is missing or empty, no row can be used, or with `raise` a row cannot be used.
    """
    items: list[T] = []
    _read_items(report, check, schema, items.append, split=split, on_bad_rows=on_bad_rows, max_rows=max_rows)
    return items


def store_rows(
    report: DataReport,
    check: Callable[[Row, RawRow], T],
    schema: Schema,
    *,
    split: str | None,
    on_bad_rows: Literal["raise", "skip"],
    max_rows: int | None,
) -> Sequence[T]:
    """Does as `load_rows`, and keeps many items in a file rather than in memory."""
    with ItemKeeper[T]() as keeper:
        _read_items(report, check, schema, keeper.add, split=split, on_bad_rows=on_bad_rows, max_rows=max_rows)
        return keeper.items()


def _read_items(
    report: DataReport,
    check: Callable[[Row, RawRow], T],
    schema: Schema,
    keep: Callable[[T], None],
    *,
    split: str | None,
    on_bad_rows: Literal["raise", "skip"],
    max_rows: int | None,
) -> None:
    taken: dict[str, int] = {}
    lacking = Lacking(report.file, schema.needs)
    never = NeverThere(report.file, schema.columns)
    for raw in islice(read_rows(report.file, split), max_rows):
        report.num_read += 1
        if not isinstance(raw.content, RowProblem):
            never.look(raw.content)
        result = read_row(raw, report.file, check, schema)
        if not isinstance(result, RowProblem) and result.id in taken:
            remedy = f"Row {taken[result.id]} has it: rename one."
            result = RowProblem(report.file, raw.row, "id", shorten(result.id), "the id is taken", remedy)
        if isinstance(result, RowProblem):
            report.problems.append(result)
            if _lacks_column(result, schema):
                lacking.add(result, raw)
        else:
            taken[result.id] = result.row
            keep(result)
    report.num_kept = len(taken)
    if report.num_read == 0:
        raise DataError(f"{report.file} holds no rows. Give a data set with at least one.")
    if report.num_kept and (max_rows is None or report.num_read < max_rows):
        never.check()
    if report.problems and (on_bad_rows == "raise" or not taken):
        if 2 * lacking.count > report.num_read:
            raise DataError(_describe(lacking, schema, check, report.num_read))
        raise bad_rows_error(report.file, report.problems, report.num_read)


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


def read_row(raw: RawRow, file: str, check: Callable[[Row, RawRow], R], schema: Schema) -> R | RowProblem:
    """Turns one row into what its checks return, or says why it cannot be used."""
    if isinstance(raw.content, RowProblem):
        return raw.content
    row: Row = raw.content
    try:
        check_values(row)
        if schema.columns:
            row = rename(row, schema.columns, untyped=raw.untyped)
        if schema.adapter is not None:
            row = _convert(row, *schema.adapter)
        return check(row, raw)
    except BadRow as bad:
        rule, remedy = bad.rule, bad.remedy
        if bad.column in schema.needs and bad.column not in row:
            rule, remedy = MISSING, f"The row has: {shorten(', '.join(row), 100)}. {remedy}"
        return RowProblem(file, raw.row, printable(bad.column), bad.value, rule, remedy)
    except AdapterError as error:
        value = shorten(raw.content.get(error.column))
        return RowProblem(file, raw.row, error.column, value, error.rule, error.remedy)


def _convert(row: Row, name: str, adapter: Adapter) -> dict[str, Any]:
    try:
        return adapter(row)
    except KeyError as error:
        remedy = f"The row has: {', '.join(row)}. Check `adapter`."
        raise BadRow(str(error.args[0]), None, NEEDED.format(name), remedy) from error
    except (AdapterError, BadRow):
        raise
    except (TypeError, ValueError, AttributeError, IndexError) as error:  # a value of another kind than published
        remedy = f"Write the row as the schema has it, or leave `adapter` out. Python says: {error}."
        raise BadRow("", dict(row), f"the adapter `{name}` cannot read the row", remedy) from error


def _lacks_column(problem: RowProblem, schema: Schema) -> bool:
    needed = NEEDED.format(schema.adapter[0]) if schema.adapter is not None else MISSING
    return problem.rule in (MISSING, needed)


def _describe(lacking: Lacking, schema: Schema, check: Callable[[Row, RawRow], Item], num_read: int) -> str:
    """Words which columns are missing, and proposes an adapter that can read the rows."""
    raw, fits = lacking.example, []
    for adapter in (None, *schema.known.items()):
        other = schema._replace(adapter=adapter, columns=None)
        if raw is None or adapter == schema.adapter:
            continue
        if not isinstance(read_row(raw, "", check, other), RowProblem):
            fits.append("" if adapter is None else adapter[0])
    return lacking.describe(num_read, None if schema.adapter is None else schema.adapter[0], schema.columns, fits)
