"""Rows of log files, read with the words for what is wrong with one."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from align.data.files import read_rows
from align.data.problems import RowProblem, bad_rows_error
from align.errors import DataError


def rows_of(file: Path) -> Iterator[Mapping[str, Any]]:
    """Reads the rows of a file; one that cannot be read is an error: a run that was killed leaves half a last line."""
    rows = (raw.content for raw in read_rows(str(file)))
    for number, row in enumerate(rows, start=1):
        if isinstance(row, RowProblem):
            rest = list(islice(rows, 10_000))
            problems = [each for each in (row, *rest) if isinstance(each, RowProblem)]
            raise bad_rows_error(str(file), problems, number + len(rest))
        yield row


def first_row(file: Path) -> Mapping[str, Any]:
    """Returns the first row, or an empty one if none can be read alone; it tells who wrote the file."""
    if file.suffix not in (".jsonl", ".parquet"):  # others are read whole, and no such tool writes them
        return {}
    try:
        return next(rows_of(file), {})
    except DataError:
        return {}


def only(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Returns the named fields that a row has."""
    return {name: row[name] for name in names if row.get(name) is not None}
