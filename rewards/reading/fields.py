"""Reads the fields of a text: values in JSON or Python anywhere in it, cells of a table, and plain words around."""

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from rewards.reading.numbers import MAX_CHARACTERS
from rewards.reading.values import digits_in, fold, number_of, places

Path = tuple[str, ...]
_Place = tuple[int, int, Path, str]  # start, end, path, and how it is written: words, literal, json, python or a cell
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')|-?\d[\w.]*(?:(?<=[eE])[+-]\d+)?|\w+|[][(){}:,]""", re.DOTALL
)
_STRUCTURED = re.compile(r"[\[{\n]")
_MOST_FAILURES = 50  # brackets that begin neither JSON nor Python
_MOST_LEVELS = 50
_ESCAPES = str.maketrans(
    {"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\0": r"\0"}
)  # not narrow spaces, as `repr` does
_JSON = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)  # as written: no digit is rounded


class Field(NamedTuple):
    """A place in a text where a value may stand."""

    text: str  # as it is read
    path: Path  # the keys above it, or its column; without places in lists, and one of its own for a key
    is_literal: bool  # a number, true or None of JSON or Python

    def numbers(self) -> list[Fraction]:
        """Lists the numbers that it states."""
        if not self.is_literal:
            return [
                n for each in digits_in(self.text) if each.is_number for n in each.values if isinstance(n, Fraction)
            ]
        try:
            return [Fraction(self.text)] if len(self.text) <= MAX_CHARACTERS else []
        except ValueError:
            return []

    def places(self, value: Any) -> list[tuple[int, int]]:
        """Lists where it states a value."""
        if not self.is_literal:
            return places(self.text, value)
        is_same = number_of(value) in self.numbers() or fold(str(value)) == fold(self.text) in ("true", "false")
        return [(0, len(self.text))] if is_same else []


def rewrite(text: str, change: Callable[[Field], str], path: Path = (), level: int = 0) -> str:
    r"""Puts what a function makes of each field into its place, in the writing that it has there.

    Example:
        >>> rewrite('see {"a": "x\\"", "b": [1, 2]}', lambda each: each.text.replace("x", "'y'"))
        'see {"a": "\'y\'\\"", "b": [1, 2]}'
        >>> rewrite("name,price\npear,4\nplum,17", lambda each: "a,b" if each.text == "plum" else each.text)
        'name,price\npear,4\n"a,b",17'
    """
    parts, at = [], 0
    for start, end, own, kind in _places(text) if level < _MOST_LEVELS else [(0, len(text), (), "words")]:
        read = _read(text[start:end], kind)
        if kind in ("words", "literal") or not _STRUCTURED.search(read):
            new = change(Field(read, path + own, kind == "literal"))
        else:
            new = rewrite(read, change, path + own, level + 1)
        parts += [text[at:start], text[start:end] if new == read else _write(new, text, kind)]
        at = end
    return "".join([*parts, text[at:]])


@lru_cache(maxsize=256)
def fields_of(text: str) -> tuple[Field, ...]:
    """Lists the fields of a text."""
    found: list[Field] = []
    rewrite(text, lambda field: found.append(field) or field.text)  # type: ignore[func-returns-value]
    return tuple(found)


def _places(text: str) -> Iterator[_Place]:
    at = 0
    for start, end, kind in _regions(text):
        yield at, start, (), "words"
        yield from _leaves(text, start, end, kind)
        at = end
    cells = _cells(text) if not at and "\n" in text else []
    yield from cells or [(at, len(text), (), "words")]


def _regions(text: str) -> Iterator[tuple[int, int, str]]:
    """Finds where JSON and Python stand in a text."""
    at = failures = 0
    while failures < _MOST_FAILURES and (opened := re.compile(r"[\[{]").search(text, at)):
        start = at = opened.start()
        try:
            at = _JSON.raw_decode(text, start)[1]
            yield start, at, "json"
        except RecursionError:
            return
        except ValueError:
            end = _closed(text, start)
            if end is not None and _is_python(text[start:end]):
                at = end
                yield start, end, "python"
            else:
                failures, at = failures + (1 if end else 10), start + 1  # what never ends is read again and again


def _closed(text: str, start: int) -> int | None:
    """Finds the end of a bracket, over strings."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += (token[0] in "([{") - (token[0] in ")]}")
        if depth <= 0:
            return token.end()
    return None


def _is_python(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.literal_eval(text) is not None
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return False


def _leaves(text: str, start: int, end: int, kind: str) -> Iterator[_Place]:
    """Lists the values and keys of JSON or Python."""
    keys: list[str] = []
    for token in _TOKEN.finditer(text, start, end):
        if token[0] in "[({":
            keys.append("")
        elif token[0] in "])}":
            keys.pop()
        elif token[0] not in ":,":
            is_key = text[token.end() : end].lstrip()[:1] == ":"
            keys[-1] = token[0] if is_key else keys[-1]
            yield token.start(), token.end(), (*keys, *":" * is_key), kind if token["string"] else "literal"


@lru_cache(maxsize=64)
def _cells(text: str) -> list[_Place]:
    """Finds the cells of a table with tabs, bars, semicolons or commas: rows of equal width, and no prose."""
    for mark in "\t|;,":
        cell = r"(?:\\.|[^|\r\n])*" if mark == "|" else rf'"(?:[^"]|"")*+"(?=[{mark}\r\n]|\Z)|[^{mark}\r\n]*'
        rows: list[list[tuple[int, int]]] = [[]]
        for found in re.finditer(rf"({cell})([{mark}]|\r?\n|\r|\Z)", text):
            rows[-1].append(found.span(1))
            if not found[2]:
                break
            if found[2] != mark:
                rows.append([])
        rows = [row for row in rows if len(row) > 1 or text[slice(*row[0])].strip()]
        width = len(rows[0]) if len(rows) > 1 else 0
        is_headed = width > 1 and not any(map(str.isdigit, text[: rows[0][-1][1]]))
        is_prose = mark in ",;" and any(text[start : start + 1] == " " for row in rows for start, _ in row)
        if all(len(row) == width for row in rows) and width > (1 if is_headed else 2) and not is_prose:
            return [(*span, (str(column),), mark) for row in rows for column, span in enumerate(row)]
    return []


def _read(written: str, kind: str) -> str:
    if kind in ("json", "python") and "\\" not in written:
        return written[1:-1]
    if kind in ("json", "python"):
        return str(json.loads(written, strict=False) if kind == "json" else ast.literal_eval(written))
    is_quoted = kind in "\t;," and re.fullmatch(r'".*"', written, re.DOTALL)
    return written[1:-1].replace('""', '"') if is_quoted else written


def _write(new: str, text: str, kind: str) -> str:
    if kind == "json":
        return json.dumps(new, ensure_ascii="\\u" in text)
    if kind == "python":
        mark = repr(new)[0]
        return mark + new.translate(_ESCAPES | {ord(mark): f"\\{mark}"}) + mark
    if kind in "\t;," and {kind, '"', "\r", "\n"} & set(new):
        return '"' + new.replace('"', '""') + '"'
    return new.replace("|", r"\|") if kind == "|" else new
