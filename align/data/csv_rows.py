"""Rows of a CSV file: a header, and as many cells in each row as it has names."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from align.data.json_rows import parse_json
from align.data.problems import BadRow, RawRow, Row, RowProblem, printable, shorten
from align.data.text_lines import read_lines
from align.errors import DataError

DELIMITERS = (",", ";", "\t", "|")  # the first one that a header has
LONGEST = 2**31 - 1  # characters of a cell; csv's own limit is 131,072
LIST = re.compile(r"[\[{]")
MESSAGES = re.compile(r"""\[\s*\{\s*['"](?:role|content)['"]""")  # a text may begin with a bracket, too
JSON_CELLS = {  # how values that are not texts begin in a CSV file, and what they look like
    **dict.fromkeys(("options", "choices", "images"), (LIST, '["iron", "gold"]')),
    **dict.fromkeys(("chosen_spans", "rejected_spans"), (LIST, "[[0, 5]]")),
    **dict.fromkeys(
        ("prompt", "completion", "messages", "chosen", "rejected"), (MESSAGES, '[{"role": "user", "content": "Hi"}]')
    ),
}


def read_csv(file: Path) -> Iterator[RawRow]:
    """Reads the rows of a CSV file, whose columns may also be separated by semicolons, tabs or bars."""
    start = 1
    try:
        reader, names, _ = _open(file)
        start = reader.line_num + 1
        for cells in reader:
            if cells:
                yield RawRow(start, _parse_cells(names, cells, file, start), untyped=True)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{file}, row that starts on line {start}: {printable(str(error))}. Check its quotes."
        ) from error


def read_header(file: Path) -> tuple[list[str], str]:
    """Reads the names of the columns, and what separates them."""
    try:
        _, names, delimiter = _open(file)
    except csv.Error as error:
        raise DataError(f"{file}, header: {printable(str(error))}. Check its quotes.") from error
    check_names(names, file)
    return names, delimiter


def find_delimiter(header: str) -> str:
    """Finds what separates the columns: a comma, unless the header has none and something else.

    Example:
        >>> find_delimiter('id;"question; in full";answer')
        ';'
    """
    return next((each for each in DELIMITERS if len(next(csv.reader([header], delimiter=each), [])) > 1), ",")


def check_names(names: Sequence[str], file: Path) -> None:
    """Refuses a header that is empty or names a column twice."""
    if not names:
        raise DataError(f"{file} has no header, and must name every column once in its first line. Write the names.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        found = ", ".join(map(ascii, twice))
        raise DataError(
            f"{file} must name every column once in its header, but has the columns {found} twice. Rename them."
        )


def parse_cell(column: str, cell: Any) -> Any:
    """Reads a cell that may hold a list, as the column asks; other cells stay texts."""
    begin, example = JSON_CELLS.get(column, (None, ""))
    if begin is None or not isinstance(cell, str) or not begin.match(cell):
        return cell
    try:
        return parse_json(cell)
    except json.JSONDecodeError as error:
        remedy = f"{error.msg}. Write JSON such as {example}."
        raise BadRow(column, cell, "the cell is not valid JSON", remedy) from error
    except BadRow as bad:
        raise BadRow(column, cell, bad.rule, bad.remedy) from bad


def _texts(file: Path) -> Iterator[str]:
    for line in read_lines(file):
        if line.bad is not None:
            raise DataError(str(line.bad.problem(file, line.number)))
        yield line.text


def _open(file: Path) -> tuple[Any, list[str], str]:
    csv.field_size_limit(LONGEST)
    lines = _texts(file)
    first = next(lines, "")
    delimiter = find_delimiter(first)
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    if names := next(reader, []):
        check_names(names, file)
    return reader, names, delimiter


def _parse_cells(names: Sequence[str], cells: Sequence[str], file: Path, number: int) -> Row | RowProblem:
    if len(cells) != len(names):
        more = len(cells) > len(names)
        rule = f"the row has {'more' if more else 'fewer'} cells than the header"
        remedy = "Put cells that contain commas in quotes." if more else "Write a comma for each empty cell, too."
        counts = f"It has {len(cells)}, the header {len(names)}."
        shown = shorten(cells[len(names) :] if more else cells)
        return RowProblem(str(file), number, "", shown, rule, f"{counts} {remedy}")
    row: dict[str, Any] = {name: cell or None for name, cell in zip(names, cells, strict=True)}
    try:
        return row | {name: parse_cell(name, row[name]) for name in JSON_CELLS if name in row}
    except BadRow as bad:
        return bad.problem(file, number)
