"""Writes rows to files: those left once duplicates, contradictions and leaks are out, and those out."""

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from align.auditing.reading import Reader, ReadRow
from align.auditing.run import Audited
from align.data.cell_values import as_values
from align.data.media.rows import MEDIA, media_folder
from align.data.problems import RowProblem
from align.errors import DataError
from align.whole_files import whole_file

KEPT_FILE, LEFT_OUT_FILE = "kept.jsonl", "left_out.jsonl"
_OF_ADAPTERS = ("decoded_image", "frames", "media_path", "path")  # where public schemas have images and videos


class Written(NamedTuple):
    """How many rows went where."""

    kept: int
    left_out: int


def write_kept(audited: Audited, folder: Path, advance: Callable[[], None] = lambda: None) -> Written:
    """Reads the rows for training again, and writes each as it stands there to one file, in their order.

    A row that is left out stands beside its file, its row, and the reason. Dates are written as ISO 8601, and relative
    paths of images and videos from the folder of the files, unless `media_dir` says what they count from.
    """
    num_kept, num_out, reasons = 0, 0, iter(audited.reasons)
    with _written(folder / KEPT_FILE) as keeps, _written(folder / LEFT_OUT_FILE) as leaves:
        for reader in audited.readers:
            for read in reader.read():
                raw, entry = read
                advance()
                content = _content(read, reader, folder)
                place = {"file": reader.file, "row": raw.row}
                if isinstance(entry, RowProblem):
                    why = {"reason": "unusable", "of": f"{entry.rule}. {entry.remedy}"}
                else:
                    reason, of = next(reasons)
                    if not reason:
                        keeps.write(_line(content or {}, place))
                        num_kept += 1
                        continue
                    why = {"reason": reason, "of": of}
                leaves.write(_line(place | why | {"content": content}, place))
                num_out += 1
    return Written(num_kept, num_out)


@contextmanager
def _written(path: Path) -> Iterator[TextIO]:
    """Opens a file that is there once it is whole; half of a surrogate pair is written as JSON writes it."""
    with whole_file(path) as draft, draft.open("w", encoding="utf-8", errors="backslashreplace") as opened:
        yield opened


def _content(read: ReadRow, reader: Reader, folder: Path) -> Mapping[str, Any] | None:
    """Returns a row as it stands there; the cells of a CSV file as they were read, which JSON would not read alike."""
    raw, entry = read
    if isinstance(raw.content, RowProblem):
        return None
    if isinstance(entry, RowProblem):
        return raw.content
    source, row = reader.source, raw.content
    if raw.untyped:
        row = as_values(row, reader.kind, source.columns, entry.gold)
    if source.media is not None and source.media.media_dir is not None:
        return row
    theirs = (source.columns.get(name, name) for name in (*MEDIA, *(_OF_ADAPTERS if source.adapter else ())))
    names = {name for each in theirs for name in ([each] if isinstance(each, str) else each)}
    return move_paths(row, names, media_folder(reader.file), folder)


def _line(row: Mapping[str, Any], place: Mapping[str, Any]) -> str:
    try:
        return json.dumps(row, ensure_ascii=False, default=_as_text) + "\n"
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{place['file']}, row {place['row']}: `--write` writes JSON lines, and the row holds what they cannot "
            f"({error}). Write images as files and their paths into the rows, and other values as texts or numbers."
        ) from error


def _as_text(value: object) -> str:
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a value of the type {type(value).__name__}")


def move_paths(row: Mapping[str, Any], columns: Collection[str], old: Path, new: Path) -> dict[str, Any]:
    """Writes what one folder's paths in some columns (texts, lists, blocks with `path`) are from another folder.

    Example:
        >>> move_paths({"image": ".", "id": "."}, ["image"], Path("/usr/lib"), Path("/usr/share"))
        {'image': '../lib', 'id': '.'}
    """
    old, new = old.resolve(), new.resolve()
    if old == new:
        return dict(row)
    return {name: _moved(value, old, new) if name in columns else value for name, value in row.items()}


def _moved(value: Any, old: Path, new: Path) -> Any:
    if isinstance(value, list | tuple):
        return [_moved(each, old, new) for each in value]
    if isinstance(value, Mapping) and value.get("bytes") is None and "path" in value:
        return {**value, "path": _moved(value["path"], old, new)}
    if not isinstance(value, str) or value.startswith("~") or os.path.isabs(value):
        return value
    found = old / value
    return os.path.relpath(found, new) if os.path.exists(found) else value
