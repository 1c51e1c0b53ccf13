"""Tells who wrote a log, and reads it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from align.errors import DataError
from align.logs.harnesses import (
    inspect_files,
    lighteval_files,
    lm_eval_files,
    read_inspect,
    read_lighteval,
    read_lm_eval,
)
from align.logs.log import Item, Log, collect
from align.logs.rollouts import read_trl, read_verifiers, read_verl, trl_files, verifiers_files, verl_files
from align.logs.tables import own_files, read_own, read_table, table_files


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


@dataclass(frozen=True)
class How:
    """How items are read: what they are matched by, their scores and groups."""

    match: Sequence[str] = ()
    scores: Sequence[str] = ()
    group: str | None = None
    average: bool = False


def read_log(path: str, how: How) -> Log:
    """Reads a log.

    Raises:
        DataError: If it cannot be told who wrote it, or it is not whole.
    """
    place, sentences = Path(path).expanduser(), list[str]()
    if items := own_files(place):
        model = place.name.partition("#")[2]
        return Log(path, "align eval", collect(read_own(items[0], model), path, match=how.match, group=how.group), [])
    if not place.exists():
        raise DataError(f"There is no file or folder {path}. Name a log, or the folder that a tool wrote.")
    if not how.scores:
        for tool in TOOLS:
            if files := tool.files(place):
                items_of = _known(tool, path, tool.read(files, sentences))
                return Log(path, tool.name, collect(items_of, path, match=how.match, group=how.group), sentences)
    if files := table_files(place):
        rows = read_table(files[0], how.scores, bool(how.match), how.average)
        return Log(path, "a table", collect(rows, path, match=how.match, group=how.group), [])
    known = ", ".join(tool.name for tool in TOOLS)
    raise DataError(
        f"{path} holds no log that is known: {known}, `align eval`, or a table (.jsonl, .json, .csv, .parquet) with "
        "`--scores`."
    )


def _known(tool: Tool, path: str, items: Iterable[Item]) -> Iterator[Item]:
    try:
        yield from items
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} looks like a log of {tool.name}, in a version that is not known: {error!r}. Write a "
            "table of its items and name the columns with `--match` and `--scores`."
        ) from error
