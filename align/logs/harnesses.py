"""Logs of evaluation harnesses: lm-evaluation-harness, inspect and lighteval."""

import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from align.errors import DataError
from align.logs.log import Item, as_number
from align.logs.log_rows import first_row, only, rows_of

_DATE = r"_(\d{4}-\d\d-\d\dT[\d.-]+)"
_SAMPLES = re.compile(rf"samples_(.+){_DATE}\.jsonl")
_DETAILS = re.compile(rf"details_(.+){_DATE}\.parquet")
_INSPECT = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # as its `value_to_float` reads them
_INSPECT_FORMAT = 2
# What zip files and their parts raise where bytes are others; the fourth is of a version of the format.
_NOT_WHOLE = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, OSError, ValueError, LookupError)
_ZSTANDARD = 93  # a method of zip files that Python reads from 3.14 on


def newest(files: list[Path], pattern: re.Pattern[str], above: int) -> tuple[dict[str, Path], list[str]]:
    """Picks the newest file of each task, and says what is older; `above` counts the folders up to the model's."""
    found: dict[str, Path] = {}
    older = []
    named = [(match[2], match[1], file) for file in files if (match := pattern.fullmatch(file.name))]
    for _, task, file in sorted(named):
        if task in found:
            older.append(f"{found[task].name} is older than {file.name} of the same task, and is not read.")
        found[task] = file
    folders = [str(file.parents[above]) for file in files if pattern.fullmatch(file.name)]
    refuse_several(folders, "models")
    return found, older


def refuse_several(folders: list[str], what: str) -> None:
    """Raises `DataError` if the files of a log lie in several folders."""
    if len(set(folders)) > 1:
        raise DataError(
            f"These are logs of several {what}: {', '.join(sorted(set(folders)))}. Name the folder of one."
        )


def lm_eval_files(path: Path) -> list[Path]:
    """Finds what `lm_eval run --log_samples` wrote."""
    files = [path] if path.is_file() else sorted(path.rglob("samples_*.jsonl"))
    return [file for file in files if _SAMPLES.fullmatch(file.name) or "doc_hash" in first_row(file)]


def read_lm_eval(files: list[Path], sentences: list[str]) -> Iterator[Item]:
    """Reads samples of lm-evaluation-harness; a metric of a filter other than `none` is named with it."""
    found, older = newest(files, _SAMPLES, 0)
    sentences += older
    for task, file in found.items() or [(files[0].stem, files[0])]:
        for row in rows_of(file):
            chosen = row.get("filter", "none")
            scores = {
                name if chosen == "none" else f"{name},{chosen}": row.get(name) for name in row.get("metrics", ())
            }
            document, prompt = row.get("doc", row.get("doc_hash")), row.get("prompt_hash")
            place, said = str(row.get("doc_id", "")), _likeliest(row)
            yield Item(task, document, scores, "", prompt, row, place, chosen, said=said)


def _likeliest(row: Mapping[str, Any]) -> Any:
    """Returns what was generated, or the choice with the greatest log-likelihood."""
    answers, asked = row.get("filtered_resps") or row.get("resps") or (), row.get("arguments")
    if not isinstance(asked, Mapping) or len(asked) < 2 or len(answers) != len(asked):
        return answers
    pairs = [(as_number(each[0]), place) for place, each in enumerate(answers) if isinstance(each, list) and each]
    known = [(number, -place) for number, place in pairs if number is not None]
    return list(asked.values())[-max(known)[1]].get("arg_1") if known else answers


def inspect_files(path: Path) -> list[Path]:
    """Finds logs of inspect: `.eval`, or `.json` with its header."""
    files = [path] if path.is_file() else sorted([*path.rglob("*.eval"), *path.rglob("*.json")])
    return [file for file in files if file.suffix == ".eval" or (file.suffix == ".json" and _is_inspect(file))]


def _is_inspect(file: Path) -> bool:
    with file.open("rb") as source:
        head = source.read(4096)
    return b'"version"' in head and b'"eval"' in head and b'"status"' in head


def read_inspect(files: list[Path], sentences: list[str]) -> Iterator[Item]:
    """Reads logs of inspect; letters of scorers count as it counts them, several values of a scorer are metrics."""
    by_task: dict[str, tuple[str, str, list[Any]]] = {}  # when it was made, by which model, and its samples
    for file in files:
        header, samples = _read_eval(file) if file.suffix == ".eval" else _read_json(file)
        if header.get("version") != _INSPECT_FORMAT:
            raise DataError(
                f"{file} has the format {header.get('version')} of inspect's logs, and {_INSPECT_FORMAT} is read. "
                "`inspect log convert` converts it for the version that is installed."
            )
        about = header["eval"]
        task, found = about["task"], (about.get("created", ""), about["model"], samples)
        other = by_task.setdefault(task, found)
        if other[1] != found[1]:
            raise DataError(f"{task} was run with several models: {other[1]} and {found[1]}. Name the file of one.")
        if other is not found:
            older = min(found[0], other[0])
            sentences.append(f"Of several logs of {task} the newest is read, and that of {older} is not.")
        by_task[task] = found if found[0] >= other[0] else other
        if header["status"] != "success":
            sentences.append(f"{file} says `{header['status']}`: it holds {len(samples):,} answers, maybe not all.")
    for task, (*_, samples) in by_task.items():
        for sample in samples:
            document = only(sample, "input", "choices", "target")
            name = str(sample.get("id", ""))
            said = [each.get("answer") for each in (sample.get("scores") or {}).values() if each]
            answer = next(filter(None, said), (sample.get("output") or {}).get("completion"))
            yield Item(task, document, dict(_inspect_scores(sample)), name, about=sample, id=name, said=answer)


def _inspect_scores(sample: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for scorer, score in (sample.get("scores") or {}).items():
        value = None if score is None else score["value"]
        named = value if isinstance(value, Mapping) else {"": value}
        for name, each in named.items():
            yield f"{scorer}/{name}" if name else scorer, _INSPECT.get(each, each) if isinstance(each, str) else each


def _read_eval(file: Path) -> tuple[dict[str, Any], list[Any]]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = {info.filename: info for info in archive.infolist()}
        if "header.json" not in members:
            raise DataError(
                f"{file} has no header: the run that wrote it was stopped. `inspect eval-retry` finishes it."
            )
        return _member(file, members["header.json"]), _member(file, members["summaries.json"])
    except _NOT_WHOLE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file} is no log of inspect, or is not whole: {error}. Copy it again.") from error


def _member(file: Path, info: zipfile.ZipInfo) -> Any:
    """Reads a member as JSON; Python 3.11 knows no zip with Zstandard, in which inspect writes."""
    with file.open("rb") as source:
        source.seek(info.header_offset)
        name, extra = struct.unpack("<HH", source.read(30)[26:30])
        source.seek(name + extra, 1)
        packed = source.read(info.compress_size)
    if info.compress_type == _ZSTANDARD:
        import pyarrow as pa

        text = pa.CompressedInputStream(pa.BufferReader(packed), "zstd").read()
    else:
        text = zlib.decompress(packed, -zlib.MAX_WBITS) if info.compress_type else packed
    if zlib.crc32(text) != info.CRC:
        raise ValueError(f"the content of {info.filename} is not what was written")
    return json.loads(text)


def _read_json(file: Path) -> tuple[dict[str, Any], list[Any]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is not whole JSON: {error}. Copy it again.") from error
    return content, content.get("samples") or []


def lighteval_files(path: Path) -> list[Path]:
    """Finds what lighteval wrote with `--save-details`."""
    files = [path] if path.is_file() else sorted(path.rglob("details_*.parquet"))
    return [file for file in files if _DETAILS.fullmatch(file.name)]


def read_lighteval(files: list[Path], sentences: list[str]) -> Iterator[Item]:
    """Reads details of lighteval from 0.11 on, whose rows have `doc` and `metric`."""
    found, older = newest(files, _DETAILS, 1)
    sentences += older
    for task, file in found.items():
        for row in rows_of(file):
            if "doc" not in row or "metric" not in row:
                raise DataError(
                    f"{file} has the columns {', '.join(row)}, and details of lighteval from 0.11 on have `doc` and "
                    "`metric`. Run the task again with a newer lighteval."
                )
            document = only(row["doc"], "query", "choices", "gold_index")
            scores, said = row["metric"] or {}, (row.get("model_response") or {}).get("text")
            yield Item(task, document, scores, about=row["doc"], id=str(row["doc"].get("id") or ""), said=said)
