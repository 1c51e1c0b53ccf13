"""Reads the rows of a file that an option names, each known by one of its columns."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from align.data.files import RawRow, Row
from align.data.loading import Schema, load_rows
from align.data.problems import DataReport

T = TypeVar("T")


class _Read(NamedTuple):
    id: str
    row: int
    value: Any


def load_options_file(path: str, needs: tuple[str, ...], check: Callable[[dict[str, Any]], T], name: str) -> list[T]:
    """Loads rows, every one of them.

    Args:
        path: A .jsonl, .json, .csv or .parquet file.
        needs: Columns that every row has.
        check: Makes something from a row, and raises `BadRow` if it cannot.
        name: Its attribute that no two rows share.

    Raises:
        DataError: If the file is missing or empty, or a row cannot be used.
    """

    def read(content: Row, raw: RawRow) -> _Read:
        value = check(dict(content))
        return _Read(str(getattr(value, name)), raw.row, value)

    rows = load_rows(DataReport(path), read, Schema(needs), split=None, on_bad_rows="raise", max_rows=None)
    return [row.value for row in rows]
