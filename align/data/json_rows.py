"""Rows written as JSON: one object a line, or a list of them."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from align.data.problems import BadRow, RawRow, Row, RowProblem, printable, shorten
from align.data.text_lines import BOM, HEAD, WHOLE, NoText, Span, check_encoding, read_lines
from align.data.texts import DEEPEST
from align.errors import DataError

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
    """Reads a file that is a list of objects, all of it at once; bytes that are no text refuse the whole."""
    content = file.read_bytes()
    check_encoding(content[:HEAD], file)
    bom = len(BOM) if content.startswith(BOM) else 0
    try:
        text = content[bom:].decode()
        rows = MARKING.decode(text) if text.strip() else []
    except UnicodeDecodeError as error:
        raise _no_text(file, content, bom + error.start) from error
    except RecursionError as error:
        raise DataError(f"{file}: {DEEP}. {FLAT}") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file} is not valid JSON. Line {error.lineno}, column {error.colno}: {error.msg}. "
            "One object per line is JSONL: name it .jsonl."
        ) from error
    if not isinstance(rows, list):
        raise _no_list(rows, file)
    for number, row in enumerate(rows, 1):
        bad = _first_bad(row)
        yield RawRow(number, bad.problem(file, number) if bad else _require_mapping(row, file, number))


def _first_bad(value: Any, depth: int = 0) -> BadRow | None:
    """Finds what `MARKING` left in place of a value that cannot be used; deeper down the row is refused anyway."""
    if isinstance(value, BadRow):
        return value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, (_first_bad(each, depth + 1) for each in inner if depth <= DEEPEST)), None)


def _no_text(file: Path, content: bytes, place: int) -> DataError:
    before = content[:place].rpartition(b"\n")[2]
    around = content[max(0, place - 20) : place + 20].decode(errors="surrogateescape")
    line, column = content.count(b"\n", 0, place) + 1, len(before.removeprefix(BOM).decode()) + 1
    return DataError(str(NoText(line, column, place, content[place], around).problem(file, line)))


def _no_list(content: Any, file: Path) -> DataError:
    if isinstance(content, BadRow):
        return DataError(f"{file} must hold a list of rows: {content.rule}. {content.remedy}")
    found = type(content).__name__
    if isinstance(content, dict):
        found = f"an object with the keys {', '.join(f'`{printable(key)}`' for key in list(content)[:10])}"
    return DataError(
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
    if isinstance(content, dict):
        return content
    rule, remedy = "the row is not an object", 'Write the columns as an object, such as {"id": ..., "prompt": ...}.'
    return RowProblem(str(file), number, "", shorten(content), rule, remedy)


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


def _marked(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def mark(value: Any) -> Any:
        try:
            return hook(value)
        except BadRow as bad:
            return bad

    return mark


HOOKS: dict[str, Any] = {"object_pairs_hook": _unique_keys, "parse_float": _finite, "parse_int": _whole}
DECODER = json.JSONDecoder(**HOOKS)
MARKS: dict[str, Any] = {name: _marked(hook) for name, hook in HOOKS.items()}
MARKING = json.JSONDecoder(**MARKS)  # of a list: a value that cannot be used costs its row alone
