"""Reads rows from files, folders and the hub, and remembers where each came from."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from align.data.problems import RowProblem, shorten
from align.errors import DataError

Row = Mapping[str, Any]
BATCH_ROWS = 100  # read from a table at once; rows may hold images
LIST = re.compile(r"[\[{]")
MESSAGES = re.compile(r"""\[\s*\{\s*['"](?:role|content)['"]""")  # a text may begin with a bracket, too
JSON_CELLS = {  # how values that are not texts begin in a CSV file, and what they look like
    **dict.fromkeys(("options", "choices", "images"), (LIST, '["iron", "gold"]')),
    **dict.fromkeys(("chosen_spans", "rejected_spans"), (LIST, "[[0, 5]]")),
    **dict.fromkeys(("prompt", "chosen", "rejected"), (MESSAGES, '[{"role": "user", "content": "Hi"}]')),
}


class RawRow(NamedTuple):
    """One row before it is understood."""

    row: int
    content: Row | RowProblem
    untyped: bool = False  # every value is text, as in CSV


def read_rows(path: str, split: str | None = None) -> Iterator[RawRow]:
    """Reads the rows of a data set, one by one where the format allows it.

    Args:
        path: A .jsonl, .json, .csv or .parquet file, a folder, or a hub id (`owner/name` or `owner/name:subset`).
        split: Split of a folder or hub data set.

    Raises:
        DataError: If the file is missing or is not what its name says.
    """
    file = Path(path).expanduser()
    reader = READERS.get(file.suffix.lower())
    if reader is not None and not file.is_dir():
        if split is not None:
            raise DataError(f"`split` is for folders and hub data sets, got {split!r} for the file {path}. Remove it.")
        return _read_file(reader, file)
    if file.is_file():
        raise DataError(f"Cannot tell the format of {path}. Its name must end in one of {', '.join(READERS)}.")
    if not file.exists() and (file.is_absolute() or path.startswith((".", "~")) or path.count("/") > 1):
        raise DataError(f"There is no file or folder {path}. Check `path`; `./x` is relative to the recipe.")
    return _read_with_datasets(path, split)


def find_split(path: str, split: str | None) -> tuple[str, str | None]:
    """Finds the file of a split in a folder such as `train.jsonl`, `test.jsonl`; everything else stays as it is.

    Returns:
        What to give `read_rows`. Reading the file itself keeps its line numbers.

    Raises:
        DataError: If the folder has no such split.
    """
    folder = Path(path).expanduser()
    if folder.is_dir() and (files := _split_files(folder)):
        return str(files[_choose_split(path, split, sorted(files))]), None
    return path, split


def _split_files(folder: Path) -> dict[str, Path]:
    """Lists the files of a folder that holds one file per split and nothing that `datasets` lays out."""
    names = [path for path in folder.iterdir() if not path.name.startswith(".")]
    files = {path.stem: path for path in names if path.suffix in READERS and "-of-" not in path.stem}
    return files if len(files) == len(names) else {}


def _read_file(reader: Callable[[Path], Iterator[RawRow]], file: Path) -> Iterator[RawRow]:
    try:
        yield from reader(file)
    except FileNotFoundError as error:
        raise DataError(f"There is no file {file}. Check `path`; `./x` is relative to the recipe.") from error
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error


def _read_jsonl(file: Path) -> Iterator[RawRow]:
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield RawRow(number, _parse_line(line, file, number))


def _parse_line(line: str, file: Path, number: int) -> Row | RowProblem:
    try:
        content = json.loads(line.rstrip(), object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        rule = "the line is not valid JSON"
        return RowProblem(str(file), number, "", shorten(line.strip()), rule, f"Column {error.colno}: {error.msg}.")
    except _DuplicateKey as error:
        rule = "a key is written twice"
        return RowProblem(str(file), number, str(error), shorten(line.strip()), rule, "Keep one of them.")
    return _require_mapping(content, file, number)


def _require_mapping(content: Any, file: Path, number: int) -> Row | RowProblem:
    if isinstance(content, dict):
        return content
    rule, remedy = "the row is not an object", 'Write the columns as an object, such as {"id": ..., "prompt": ...}.'
    return RowProblem(str(file), number, "", shorten(content), rule, remedy)


class _DuplicateKey(ValueError):
    pass


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise _DuplicateKey(key)
        content[key] = value
    return content


def _read_json(file: Path) -> Iterator[RawRow]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file} is not valid JSON. Line {error.lineno}, column {error.colno}: {error.msg}. "
            "One object per line is JSONL: name it .jsonl."
        ) from error
    if not isinstance(content, list):
        raise DataError(f"{file} must hold a list of rows, got {type(content).__name__}.")
    for number, row in enumerate(content, start=1):
        yield RawRow(number, _require_mapping(row, file, number))


def _read_csv(file: Path) -> Iterator[RawRow]:
    with file.open(encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True)
        start = 2
        try:
            for row in reader:
                yield RawRow(start, _parse_cells(row, file, start), untyped=True)
                start = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{file}, row that starts on line {start}: {error}. Check its quotes.") from error


def _parse_cells(row: dict[Any, Any], file: Path, number: int) -> Row | RowProblem:
    """Turns the cells of a CSV row into values: empty cells are missing, lists are written as JSON."""
    if None in row:
        rule, remedy = "the row has more cells than the header", "Put cells that contain commas in quotes."
        return RowProblem(str(file), number, "", shorten(row[None]), rule, remedy)
    cells = {key: value for key, value in row.items() if value not in (None, "")}
    for column, (begin, example) in JSON_CELLS.items():
        if begin.match(cells.get(column, "")):
            try:
                cells[column] = json.loads(cells[column])
            except json.JSONDecodeError as error:
                rule, remedy = "the cell is not valid JSON", f"{error.msg}. Write JSON such as {example}."
                return RowProblem(str(file), number, column, shorten(cells[column]), rule, remedy)
    return cells


def _read_parquet(file: Path) -> Iterator[RawRow]:
    import pyarrow
    import pyarrow.parquet

    if not file.exists():
        raise FileNotFoundError(file)
    try:
        with pyarrow.parquet.ParquetFile(file) as source:
            rows = (row for batch in source.iter_batches(BATCH_ROWS) for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield RawRow(number, row)
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{file} is not a Parquet file: {error}.") from error


def _read_with_datasets(path: str, split: str | None) -> Iterator[RawRow]:
    import datasets

    name, _, subset = path.partition(":")
    try:
        if (Path(path) / "dataset_dict.json").exists() or (Path(path) / "state.json").exists():
            loaded = datasets.load_from_disk(path)
        else:
            loaded = datasets.load_dataset(name, subset or None)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"Cannot load the data set {path}: {type(error).__name__}: {error}") from error
    if isinstance(loaded, datasets.DatasetDict):
        loaded = loaded[_choose_split(path, split, list(loaded))]
    # Images come as bytes or paths: one that cannot be decoded is a row that cannot be used.
    features = datasets.Features(_undecoded(dict(loaded.features)))
    rows = (row for batch in loaded.with_format("arrow").iter(BATCH_ROWS) for row in batch.to_pylist())
    for number, row in enumerate(rows, start=1):
        yield RawRow(number, features.decode_example(row))


def _undecoded(feature: Any) -> Any:
    """Turns the decoding of images, videos and all else but JSON off, at any depth."""
    import datasets

    if hasattr(feature, "decode") and not isinstance(feature, getattr(datasets, "Json", ())):
        return replace(feature, decode=False)
    if isinstance(feature, datasets.List | datasets.LargeList):
        return replace(feature, feature=_undecoded(feature.feature))
    if isinstance(feature, dict):
        return {name: _undecoded(inner) for name, inner in feature.items()}
    return [_undecoded(inner) for inner in feature] if isinstance(feature, list | tuple) else feature


def _choose_split(path: str, split: str | None, known: list[str]) -> str:
    wanted = split or ("train" if "train" in known or len(known) > 1 else known[0])
    if wanted not in known:
        raise DataError(f"{path} has no split {wanted!r}. It has: {', '.join(known)}. Set `split`.")
    return wanted


READERS: dict[str, Callable[[Path], Iterator[RawRow]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
