"""Reads rows from files, folders and the hub, and remembers where each came from."""

import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from align.data.csv_rows import check_names, read_csv
from align.data.json_rows import read_json, read_jsonl
from align.data.problems import RawRow, Row, printable
from align.data.text_lines import Span, divide_lines
from align.errors import DataError
from align.hub_reach import Answer, ask_hub, go_offline
from align.recipe.problems import one_line
from align.tools.environments import is_environment, rows_of
from rewards.extras import missing, require
from rewards.reading.gym import TaskSpec, is_task, make_task, read_spec, write_entry

__all__ = ["READERS", "RawRow", "Row", "find_split", "lines_of", "read_rows", "read_span", "spans_of"]

PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst")

BATCH_ROWS = 100  # read from a table at once; rows may hold images
SPAN = 2**20  # bytes of lines that are read at once

T = TypeVar("T")


def read_rows(path: str, split: str | None = None) -> Iterator[RawRow]:
    """Reads the rows of a data set, one by one where the format allows it.

    `path` is a .jsonl, .json, .csv or .parquet file, a folder, a hub id (`owner/name` or `owner/name:subset`), or
    `reasoning_gym:TASK`, or `verifiers:NAME`.
    """
    _check_name(path)
    if is_environment(str(path)):
        return _rows_of_environment(path, split)
    if is_task(str(path)):
        return gym_rows(path, split)
    if "://" in str(path):
        raise DataError(f"{path} is a URL, and rows are read from files and hub ids. Download it, and name the file.")
    file = Path(path).expanduser()
    reader = READERS.get(file.suffix.lower())
    if reader is not None and not file.is_dir():
        if split is not None:
            raise DataError(f"`split` is for folders and hub data sets, got {split!r} for the file {path}. Remove it.")
        return _read_file(reader, file)
    if file.is_file():
        if file.suffix.lower() in PACKED:
            raise DataError(f"{path} is compressed. Unpack it first: rows are read from {', '.join(READERS)}.")
        raise DataError(f"Cannot tell the format of {path}. Its name must end in one of {', '.join(READERS)}.")
    if not file.exists() and (file.is_absolute() or path.startswith((".", "~")) or path.count("/") > 1):
        raise _missing("file or folder", file)
    return _read_with_datasets(path, split)


def _rows_of_environment(path: str, split: str | None) -> Iterator[RawRow]:
    try:
        yield from (RawRow(number, row) for number, row in enumerate(rows_of(path, split), start=1))
    except ValueError as error:
        raise DataError(str(error)) from error


def lines_of(path: str) -> Path | None:
    """Returns the file of a data set whose rows stand on a line each; None of any other."""
    file = Path(path).expanduser()
    return file if file.suffix.lower() == ".jsonl" and file.is_file() else None


def spans_of(file: Path) -> Iterator[Span]:
    """Divides the lines of a file, for `read_span`."""
    return _read_file(partial(divide_lines, size=SPAN), file)


def read_span(file: Path, span: Span) -> Iterator[RawRow]:
    """Reads the rows on some lines of a file, as `read_rows` reads all of them."""
    return _read_file(partial(read_jsonl, span=span), file)


def first_rows(path: str, split: str | None, max_rows: int | None) -> Iterator[RawRow]:
    """Yields rows as `read_rows` does, as many as are wanted."""
    if max_rows is not None and not 1 <= max_rows <= sys.maxsize:
        raise DataError(
            f"`max_rows` must be from 1 to {sys.maxsize:,}, got {max_rows}. Leave it out to read all rows."
        )
    return islice(read_rows(path, split), max_rows)


def find_split(path: str, split: str | None) -> tuple[str, str | None]:
    """Finds the file of a split in a folder such as `train.jsonl`, `test.jsonl`, which keeps its line numbers."""
    _check_name(path)
    folder = Path(path).expanduser()
    if folder.is_dir() and (files := _split_files(folder)):
        return str(files[_choose_split(path, split, sorted(files))]), None
    return path, split


def _split_files(folder: Path) -> dict[str, Path]:
    """Lists the files of a folder that holds one file per split and nothing that `datasets` lays out."""
    names = [path for path in folder.iterdir() if not path.name.startswith(".")]
    files = {path.stem: path for path in names if path.suffix in READERS and "-of-" not in path.stem}
    return files if len(files) == len(names) else {}


def _check_name(path: str) -> None:
    if not str(path).strip():
        raise DataError(f"The name of the data is empty, got {str(path)!r}. Name a file, a folder or a hub id.")


def _missing(kind: str, path: Path) -> DataError:
    place = "" if path.is_absolute() else f" It was looked for in {Path.cwd()}; of a recipe, `./x` lies beside it."
    pattern = " A pattern stands for no files here: name each." if set("*?[") & set(path.name) else ""
    return DataError(f"There is no {kind} {path}. Check its name.{pattern}{place}")


def _read_file(reader: Callable[[Path], Iterator[T]], file: Path) -> Iterator[T]:
    try:
        yield from reader(file)
    except FileNotFoundError as error:
        raise _missing("file", file) from error
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror or error}.") from error


def read_batches(file: Path, size: int) -> Iterator[Any]:
    """Reads the batches of a Parquet file, which must be whole, and its texts UTF-8."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(file) as source:
            check_names(source.schema_arrow.names, file)
            for batch in source.iter_batches(size):
                batch.validate(full=True)
                yield batch
                number += len(batch)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # as damaged pages and names are
        after = f" after row {number}" if number else ""
        raise DataError(
            f"{file} is not a Parquet file, is not whole or no UTF-8{after}: {printable(str(error)).rstrip('.')}."
        ) from error


def _read_parquet(file: Path) -> Iterator[RawRow]:
    if not file.exists():
        raise FileNotFoundError(file)
    before = 0
    for batch in read_batches(file, BATCH_ROWS):
        yield from (RawRow(number, row) for number, row in enumerate(batch.to_pylist(), start=before + 1))
        before += len(batch)


def _read_with_datasets(path: str, split: str | None) -> Iterator[RawRow]:
    if sentence := missing("eval", f"{path} is no file that is here, and reading it", "datasets"):
        raise DataError(sentence)
    import datasets

    name, _, subset = path.partition(":")
    answer = Answer()
    try:
        if (Path(path) / "dataset_dict.json").exists() or (Path(path) / "state.json").exists():
            loaded = datasets.load_from_disk(path)
        else:
            if not Path(name).exists():
                answer = ask_hub(f"datasets/{name}/resolve/main/README.md")
                go_offline(answer, path)
            loaded = datasets.load_dataset(name, subset or None)
    except ConnectionError as error:
        raise DataError(
            f"Cannot load the data set {path}: no file or folder of that name is here, and the hub's cache does not "
            f"hold it whole. {one_line(error)}. Check the name, or load it where there is a network."
        ) from error
    except Exception as error:  # `datasets` raises what each of its builders does: an IndexError for `/`
        remedy = "Name a file, a folder of .jsonl, .json, .csv or .parquet files, or a hub id."
        if answer.status in (401, 403):
            remedy = "Run `hf auth login`, or set the variable HF_TOKEN."
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        raise DataError(f"Cannot load the data set {path}: {reason}. {remedy}") from error
    if isinstance(loaded, datasets.DatasetDict):
        loaded = loaded[_choose_split(path, split, list(loaded))]
    # Images come as bytes or paths: one that cannot be decoded is a row that cannot be used.
    features = datasets.Features(undecoded(dict(loaded.features)))
    rows = (row for batch in loaded.with_format("arrow").iter(BATCH_ROWS) for row in batch.to_pylist())
    for number, row in enumerate(rows, start=1):
        yield RawRow(number, features.decode_example(row))


def undecoded(feature: Any) -> Any:
    """Turns the decoding of images, videos and all else but JSON off, at any depth."""
    import datasets

    if hasattr(feature, "decode") and not isinstance(feature, getattr(datasets, "Json", ())):
        return replace(feature, decode=False)
    if isinstance(feature, datasets.List | datasets.LargeList):
        return replace(feature, feature=undecoded(feature.feature))
    if isinstance(feature, dict):
        return {name: undecoded(inner) for name, inner in feature.items()}
    return [undecoded(inner) for inner in feature] if isinstance(feature, list | tuple) else feature


def _choose_split(path: str, split: str | None, known: Sequence[str]) -> str:
    wanted = split or ("train" if "train" in known or len(known) > 1 else known[0])
    if wanted not in known:
        raise DataError(f"{path} has no split {wanted!r}. It has: {', '.join(known)}. Set `split`.")
    return wanted


READERS: dict[str, Callable[[Path], Iterator[RawRow]]] = {
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".parquet": _read_parquet,
}


INSTRUCTION = "Think it through inside <think> and </think>. Then write only the answer inside <answer> and </answer>."
AS_SHOWN = "Write only the answer inside <answer> and </answer>."  # where solved questions show no thoughts
SPLITS = ("train", "test")
HELD_OUT = 4  # one question of so many is of the split `test`
DRAWS = 8  # for each row that is asked for, at most
LIMIT = 2**31


def gym_rows(path: str, split: str | None = None) -> Iterator[RawRow]:
    """Draws the rows of `reasoning_gym:TASK?setting=value&...`, each question once.

    `seed` says which are drawn, `size` how many, `shots` how many solved ones stand in front of each. Whether a
    question is one of `train` or of `test` is told by its text, whatever the seed, so that none is in both.
    """
    wanted = _choose_split(path, split, SPLITS)
    try:
        require("reasoning-gym", f"`{path}`")
        spec = read_spec(path)
        # The library draws item i from `seed + i`, so that seeds 0 and 1 would share all items but two.
        spread = {"seed": Random(spec.settings["seed"]).randrange(LIMIT), "size": spec.settings["size"] * DRAWS}
        task = make_task(spec._replace(settings={**spec.settings, **spread}))
    except (ImportError, ValueError) as error:
        raise DataError(str(error)) from error
    shown = list(islice(_draw(task, spec, path, "train"), spec.shots))
    rows = islice(_draw(task, spec, path, wanted), spec.shots if wanted == "train" else 0, None)
    number, size = 0, spec.settings["size"]
    for number, item in enumerate(islice(rows, size), start=1):
        yield RawRow(number, _row(item, shown, path))
    if number < size:
        raise DataError(
            f"{path} asks for {size} questions, and {size * DRAWS} draws gave {number} different ones for {wanted!r}. "
            f"Set `size={number}`, or settings with more of them."
        )


def _draw(task: Any, spec: TaskSpec, path: str, split: str) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for index in range(spec.settings["size"] * DRAWS):
        try:
            with redirect_stdout(StringIO()):  # some tasks print as they draw
                item = task[index]
        except Exception as error:  # whatever a task raises that finds no item, or meets another version of a library
            raise DataError(f"{path} cannot draw item {index}: {type(error).__name__}: {error}") from error
        question = item["question"]
        if SPLITS[zlib.crc32(question.encode()) % HELD_OUT == 0] == split and question not in seen:
            seen.add(question)
            yield {**item, "id": f"{spec.name}-{index}"}


def _row(item: dict[str, Any], shown: list[dict[str, Any]], path: str) -> dict[str, Any]:
    prompt: list[dict[str, str]] = []
    for each in shown:
        if each["answer"] is None:
            raise DataError(f"{path} knows no answers, only whether one is right. Remove `shots`.")
        prompt.append({"role": "user", "content": f"{each['question']}\n{AS_SHOWN}"})
        prompt.append({"role": "assistant", "content": f"<answer>{each['answer']}</answer>"})
    asked = f"{item['question']}\n{AS_SHOWN}" if shown else f"{item['question']}\n\n{INSTRUCTION}"
    entry = {name: item[name] for name in ("question", "answer", "metadata")}
    try:
        text = write_entry(entry)
    except TypeError as error:
        raise DataError(f"{path} has items that cannot be written as text: {error}") from error
    return {
        "id": item["id"],
        "prompt": [*prompt, {"role": "user", "content": asked}],
        "question": item["question"],
        "answer": item["answer"],
        "task": path,
        "entry": text,
    }
