"""Rows written as JSON: one object a line, or a list of them."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from align.data.problems import BadRow, RawRow, Row, RowProblem, printable, shorten
from align.data.text_lines import BOM, HEAD, WHOLE, NoText, Span, check_encoding, read_lines
from align.errors import DataError

SPACE = re.compile(r"[ \t\n\r]*")
NEXT = re.compile(r"[ \t\n\r]*([,\]])[ \t\n\r]*")
TOKEN = re.compile(r'"(?:[^"\\]|\\.?)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)  # a text that is not closed is all the rest
ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
DEEP = "the row is nested too deeply"
FLAT = "Write columns of texts, numbers, and lists or objects of them."
LARGEST = 2**64  # what fits a column of a table


def parse_json(text: str) -> Any:
    """Parses one value; raises `BadRow` for a repeated key, deep nesting, or a number that no column can hold."""
    try:
        return DECODER.decode(text)
    except RecursionError as error:
        raise BadRow("", None, DEEP, FLAT) from error


def read_jsonl(file: Path, span: Span = WHOLE) -> Iterator[RawRow]:
    """Reads a file with one object a line, or some of its lines; blank lines are not rows."""
    for number, text, bad in read_lines(file, span):
        if not text.isspace():
            yield RawRow(number, _parse_line(text, file, number) if bad is None else bad.problem(file, number))


def read_json(file: Path) -> Iterator[RawRow]:
    """Reads a file that is a list of objects."""
    content = file.read_bytes()
    check_encoding(content[:HEAD], file)
    bom = len(BOM) if content.startswith(BOM) else 0
    place = None
    try:
        text = content[bom:].decode()
    except UnicodeDecodeError:
        text, place = content[bom:].decode(errors="surrogateescape"), _Place(bom)
    try:
        for number, start, end, row in _split(text, file):
            if place is not None and (bad := place.find(text, start, end)):
                row = bad.problem(file, number)
            yield RawRow(number, row if type(row) is dict else _require_mapping(row, file, number))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file} is not valid JSON. Line {error.lineno}, column {error.colno}: {error.msg}. "
            "One object per line is JSONL: name it .jsonl."
        ) from error


def _split(text: str, file: Path) -> Iterator[tuple[int, int, int, Any]]:
    """Yields the number, start, end and value of each row; a value that cannot be used is a problem."""
    start = _skip(text, 0)
    if start == len(text):
        return
    if text[start] != "[":
        _refuse(text, file)
    start, number = _skip(text, start + 1), 0
    is_open = text[start : start + 1] != "]"
    end = start + 1
    while is_open:
        number += 1
        try:
            row, end = DECODER.raw_decode(text, start)
        except (BadRow, RecursionError) as error:
            end = _find_end(text, start)
            bad = error if isinstance(error, BadRow) else BadRow("", None, DEEP, FLAT)
            row = bad.problem(file, number, text[start : min(end, start + 100)])
        yield number, start, end, row
        match = NEXT.match(text, end)
        if match is None:
            raise json.JSONDecodeError("Expecting ',' delimiter", text, _skip(text, end))
        is_open, start = match[1] == ",", match.end()
        end = start
    if (end := _skip(text, end)) < len(text):
        raise json.JSONDecodeError("Extra data", text, end)


def _find_end(text: str, start: int) -> int:
    depth = 0
    for token in TOKEN.finditer(text, start):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if depth <= 0:
            return token.end()
    raise json.JSONDecodeError("The bracket that opens here is not closed", text, start)


def _refuse(text: str, file: Path) -> NoReturn:
    try:
        content = parse_json(text)
    except BadRow as bad:
        raise DataError(f"{file} must hold a list of rows: {bad.rule}. {bad.remedy}") from bad
    found = type(content).__name__
    if isinstance(content, dict):
        found = f"an object with the keys {', '.join(f'`{printable(key)}`' for key in list(content)[:10])}"
    raise DataError(
        f"{file} must hold a list of rows, got {found}. Write [{{...}}, {{...}}], or a row a line as .jsonl."
    )


def _parse_line(line: str, file: Path, number: int) -> Row | RowProblem:
    try:
        content = parse_json(line.rstrip())
    except json.JSONDecodeError as error:
        rule = "the line is not valid JSON"
        return RowProblem(str(file), number, "", shorten(line.strip()), rule, f"Column {error.colno}: {error.msg}.")
    except BadRow as bad:
        return bad.problem(file, number, line.strip())
    return _require_mapping(content, file, number)


def _require_mapping(content: Any, file: Path, number: int) -> Row | RowProblem:
    if isinstance(content, dict | RowProblem):
        return content
    rule, remedy = "the row is not an object", 'Write the columns as an object, such as {"id": ..., "prompt": ...}.'
    return RowProblem(str(file), number, "", shorten(content), rule, remedy)


class _Place:
    """Counts bytes and lines up to what is no text, once over."""

    def __init__(self, offset: int) -> None:
        self._counted, self._offset, self._line = 0, offset, 1

    def find(self, text: str, start: int, end: int) -> NoText | None:
        bad = ESCAPED_BYTE.search(text, start, end)
        if bad is None:
            return None
        place = bad.start()
        passed = text[self._counted : place]
        self._offset += len(passed.encode(errors="surrogateescape"))
        self._line += passed.count("\n")
        self._counted = place
        column = place - text.rfind("\n", 0, place)
        around = text[max(start, place - 20) : min(end, place + 20)]
        return NoText(self._line, column, self._offset, ord(text[place]) & 0xFF, around)


def _skip(text: str, start: int) -> int:
    return SPACE.match(text, start).end()  # type: ignore[union-attr]


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadRow(twice, None, "a key is written twice", "Keep one of them.")
    return content


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise _too_large(number)
    return value


def _whole(number: str) -> int:
    if len(number) > 18 and (len(number) > 20 or not -LARGEST // 2 <= int(number) < LARGEST):
        raise _too_large(number)
    return int(number)


def _too_large(number: str) -> BadRow:
    remedy = f"No column can hold {number[:20]}: write a smaller one, or a text."
    return BadRow("", None, "a number is too large", remedy)


DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_float=_finite, parse_int=_whole)
