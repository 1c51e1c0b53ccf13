from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from align.data.files import RawRow, Row, first_rows
from align.data.loading import Schema, in_parts, read_row
from align.data.problems import RowProblem
from align.errors import DataError

HEAD = 1_000  # rows that are read before, for what is checked and shown
PROBLEM = "row_problem"  # the column of a row that cannot be used: what is wrong with it

T = TypeVar("T")


def check_no_passes(settings: Any) -> None:
    """Refuses what is done at the end of a pass, since a stream for training is one without an end."""
    for name in ("logging_strategy", "save_strategy", "eval_strategy"):
        if getattr(settings, name) == "epoch":
            raise DataError(
                f"`{name}: epoch` waits for the end of a pass, and a stream has no end. Set `{name}: steps` "
                f"and `{name.partition('_')[0]}_steps`."
            )


@dataclass(frozen=True)
class RowSource(Generic[T]):
    """A file, and how its rows are read; `check` makes an item of a row, or raises `BadRow`."""

    file: str
    split: str | None
    schema: Schema
    check: Callable[[Row, RawRow], T]


@dataclass(frozen=True)
class RowStream(Generic[T]):
    """Gives out the rows of a file for a trainer, one by one; skipped ones as what is wrong with them, to count."""

    source: RowSource[T]
    to_row: Callable[[T], dict[str, Any]]
    on_bad_rows: Literal["raise", "skip"]
    max_rows: int | None = None

    def __call__(self) -> Iterator[dict[str, Any]]:
        """Reads the file once more; a row that can be used comes first, since trainers tell the form by it."""
        source, begun = self.source, False
        waiting: list[dict[str, Any]] = []
        for raw in in_parts(first_rows(source.file, source.split, self.max_rows), source.schema):
            found = read_row(raw, source.file, source.check, source.schema)
            if isinstance(found, RowProblem):
                if self.on_bad_rows == "raise":
                    raise DataError(f"{found} With `on_bad_rows: skip` such rows are left out and counted.")
                waiting.append({PROBLEM: str(found)})
            else:
                begun = True
                yield self.to_row(found)
            if begun:
                yield from waiting
                waiting = []
