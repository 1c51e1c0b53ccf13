"""Tells who wrote a log, and reads it."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from align.data.columns import rename
from align.data.files import READERS
from align.errors import DataError
from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE
from align.logs.harnesses import (
    inspect_files,
    lighteval_files,
    lm_eval_files,
    read_inspect,
    read_lighteval,
    read_lm_eval,
)
from align.logs.log import How, Item, Log, as_number, collect
from align.logs.log_rows import only, rows_of
from align.logs.rollouts import read_trl, read_verifiers, read_verl, trl_files, verifiers_files, verl_files
from align.options import several


class Tool(NamedTuple):
    """A kind of logs."""

    name: str
    files: Callable[[Path], list[Path]]  # of a log in a folder or file; none if it is of another kind
    read: Callable[[list[Path], list[str]], Iterator[Item]]  # adds sentences to the list


TOOLS = (
    Tool("lm-evaluation-harness", lm_eval_files, read_lm_eval),
    Tool("lighteval", lighteval_files, read_lighteval),
    Tool("inspect", inspect_files, read_inspect),
    Tool("verifiers", verifiers_files, read_verifiers),
    Tool("completions of a trainer", trl_files, read_trl),
    Tool("verl", verl_files, read_verl),
)


def read_log(path: str, how: How) -> Log:
    """Reads a log, whoever wrote it."""
    place, sentences = Path(path).expanduser(), list[str]()
    if items := own_files(place):
        rows = _known("align eval", path, read_own(items[0], place.name.partition("#")[2]))
        return Log(path, "align eval", collect(rows, path, how), [])
    if not place.exists():
        raise DataError(f"There is no file or folder {path}. Name a log, or the folder that a tool wrote.")
    if not how.scores:
        for tool in TOOLS:
            if files := tool.files(place):
                items_of = _known(tool.name, path, tool.read(files, sentences))
                return Log(path, tool.name, collect(items_of, path, how, sentences), sentences)
    if place.is_file() and place.suffix.lower() in READERS:
        rows = read_table(place, how)
        return Log(path, TABLE, collect(rows, path, how), [])
    known = ", ".join(tool.name for tool in TOOLS)
    raise DataError(
        f"{path} holds no log that is known: {known}, `align eval`, or a table (.jsonl, .json, .csv, .parquet) with "
        "`--scores`."
    )


def _known(tool: str, path: str, items: Iterable[Item]) -> Iterator[Item]:
    try:
        yield from items
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} looks like a log of {tool}, in a version that is not known: {error!r}. Write a "
            "table of its items and name the columns with `--match` and `--scores`."
        ) from error


# What says which item of ours it is; the rest is of the answer.
_ASKED = ("id", "prompt", "question", "options", "columns", "chosen", "rejected", "family", "direction", "asked",
          "core", "trigger", "answered_by")  # fmt: skip
_NOT_SCORES = ("sample", "gold", "tokens")
ID, TABLE = "id", "a table"


def own_files(path: Path) -> list[Path]:
    """Finds the items of an evaluation of ours, in the folder or of one of its models, as `FOLDER#MODEL`."""
    items = path.parent / path.name.partition("#")[0] / ITEMS_FILE
    return [items] if items.is_file() and (items.parent / EVALUATION_FILE).is_file() else []


def read_own(items: Path, model: str) -> Iterator[Item]:
    """Reads what one model answered."""
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(items)
    except (OSError, ValueError) as error:
        raise DataError(f"{items} is not whole, copy it again: {error}") from error
    models = sorted(set(table.column("model").to_pylist()))
    if model not in models and (model or len(models) > 1):
        asked = f"has no model {model!r}" if model else "holds several models"
        raise DataError(f"{items.parent} {asked}. Name one: {', '.join(f'{items.parent}#{each}' for each in models)}.")
    scored = [
        each.name
        for each in table.schema
        if str(each.type) in ("bool", "double", "float")
        and not each.name.endswith("_choice")
        and each.name not in _NOT_SCORES
    ]
    for row in table.to_pylist():
        if not model or row["model"] == model:
            asked_of = only(row, *_ASKED)
            name, prompt = str(row["id"]), asked_of.get("prompt")
            said = row.get("completion")
            yield Item("items", asked_of, {each: row[each] for each in scored}, name, prompt, about=row, said=said)


def read_table(file: Path, how: How) -> Iterator[Item]:
    """Reads rows with named columns of scores, matched by their `id` unless columns for it are named."""
    seen: dict[Any, int] = {}
    columns: dict[str, None] = {}
    scores = how.scores
    for number, found in enumerate(rows_of(file), start=1):
        named = {ours: each for ours, each in how.columns.items() if found.keys() >= {*several(each)}}
        row = rename(found, named) if named else found
        if not scores:
            numbers = [name for name, value in row.items() if as_number(value) is not None and name != ID]
            if len(numbers) != 1:
                raise DataError(
                    f"{file} is no log of a tool that is known. Name its scores with `--scores`, and what items are "
                    f"matched by with `--match`, unless `{ID}` tells; columns with numbers, or yes and no, are "
                    f"{', '.join(numbers) or '(none)'}."
                )
            scores = tuple(numbers)  # there is nothing else that could be meant
        columns |= dict.fromkeys(row)
        item = row.get(ID)
        if not how.match:
            if item is None:
                raise DataError(
                    f"{file}, row {number}: there is no `{ID}`. Name columns to match by with `--match`, or say with "
                    f"`--columns` what `{ID}` is called: `{{{ID}: NAME}}`."
                )
            if (
                not how.average
                and (first := seen.setdefault(item if type(item) is str else repr(item), number)) != number
            ):
                raise DataError(
                    f"{file}, rows {first} and {number} have the same `{ID}` {item!r}. Give each item a row, or add "
                    "`--average` if they are several answers to it."
                )
        yield Item("items", item, only(row, *scores), "" if item is None else str(item), None, row, said=row)
    meant = {ours: several(theirs) for ours, theirs in how.columns.items() if ours not in columns}
    wanted = [*(name for theirs in meant.values() for name in theirs), *(each for each in scores if each not in meant)]
    if columns and (absent := [name for name in wanted if name not in columns]):
        raise DataError(f"{file}: there is no column `{absent[0]}`. It has {', '.join(columns)}.")
