from collections.abc import Iterator
from json import detect_encoding
from math import inf
from pathlib import Path
from typing import NamedTuple

from align.data.problems import RowProblem, printable
from align.errors import DataError

BOM = b"\xef\xbb\xbf"
HEAD = 64  # bytes that show the encoding
ICONV = "iconv -f {} -t UTF-8 FILE > NEW"


class NoText(NamedTuple):
    """The first byte of some lines that is not UTF-8."""

    line: int  # from 1
    column: int  # from 1, in characters
    offset: int  # from 0, in bytes of the file
    byte: int
    around: str  # the text beside it

    def problem(self, file: Path, row: int) -> RowProblem:
        """Words it as why a row cannot be used."""
        place = f"line {self.line}, column {self.column}, byte {self.offset} of the file counted from 0"
        remedy = f"It has 0x{self.byte:02x} at {place}. If all of it is Windows-1252: {ICONV.format('WINDOWS-1252')}."
        shown = self.around.encode(errors="surrogateescape").decode(errors="backslashreplace")
        return RowProblem(str(file), row, "", f"'{printable(shown)}'", "the row is not UTF-8 text", remedy)


class Line(NamedTuple):
    """One line; a byte that is not UTF-8 is a lone surrogate in its text, as `surrogateescape` writes it."""

    number: int
    text: str
    bad: NoText | None


class Span(NamedTuple):
    """Some lines of a file that follow each other."""

    before: int  # lines that stand before them
    start: float  # bytes, from 0
    end: float


WHOLE = Span(0, 0, inf)


def divide_lines(file: Path, size: int) -> Iterator[Span]:
    """Divides a file into spans of about so many bytes."""
    before = start = 0
    with file.open("rb") as source:
        while block := source.read(size):
            block += source.readline()
            yield Span(before, start, start + len(block))
            before += block.count(b"\n") if b"\r" not in block and block.endswith(b"\n") else len(block.splitlines())
            start += len(block)


def read_lines(file: Path, span: Span = WHOLE) -> Iterator[Line]:
    r"""Reads lines with their ends, which are \n, \r\n or \r."""
    number, offset = span.before, int(span.start)
    with file.open("rb") as source:
        if offset:
            source.seek(offset)
        else:
            head = source.peek(HEAD)[:HEAD]
            check_encoding(head, file)
            if head.startswith(BOM):
                offset = len(source.read(len(BOM)))
        for chunk in source:
            for line in chunk.splitlines(keepends=True) if b"\r" in chunk else (chunk,):
                number += 1
                try:
                    yield Line(number, line.decode(), None)
                except UnicodeDecodeError as error:
                    text = line.decode(errors="surrogateescape")
                    before = line[: error.start].decode()
                    around = text[max(0, len(before) - 20) : len(before) + 20].strip()
                    place = len(before) + 1, offset + error.start, line[error.start]
                    yield Line(number, text, NoText(number, *place, around))
                offset += len(line)
            if offset >= span.end:
                return


def check_encoding(head: bytes, file: Path) -> None:
    """Refuses text that is written with two or four bytes a character."""
    encoding = detect_encoding(head)
    if encoding.startswith("utf-8"):
        return
    try:
        text = head[: len(head) // 4 * 4].decode(encoding, errors="ignore")
    except UnicodeDecodeError:
        return
    if any(map(str.isprintable, text)):
        name = encoding.upper()
        raise DataError(f"{file} is {name} text, not UTF-8. Save it as UTF-8, for example: {ICONV.format(name)}")
