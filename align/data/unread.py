"""Columns that nothing reads and whose names are near one that is read: a misspelt one is as good as none."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any, TypeVar

from align.console import say
from align.data.problems import DataReport, Row, printable
from align.data.texts import count_shared

ALIKE = 0.9  # as difflib counts it: two slips in a long name
LEAST = 3  # letters of a name that may have a slip: `idx` is none of `id`
MOST_SETS, MOST_NAMES = 100, 300  # sets of columns that are looked at, and columns of one

Rows = TypeVar("Rows")
Report = TypeVar("Report", bound=DataReport)


class Watched(dict[str, Any]):
    """A row that notes which columns are asked for; copying it, or going through it, asks for none."""

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        self.asked: dict[str, None] = {}

    def __getitem__(self, name: str) -> Any:
        self.asked[name] = None
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Returns a value as a dict does."""
        self.asked[name] = None
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self.asked[str(name)] = None
        return super().__contains__(name)


class Unread:
    """Counts the rows in which a column is probably misspelt; the first of each set of columns is watched."""

    def __init__(self, also: Sequence[str] = ()) -> None:
        self._also = also
        self._near: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def watch(self, row: Row) -> Row:
        """Returns the row, watched if none with its columns was yet."""
        return row if len(self._near) >= MOST_SETS or tuple(row) in self._near else Watched(row)

    def note(self, row: Row) -> None:
        """Takes up a row that `watch` returned, once it is read."""
        names = tuple(row)
        if isinstance(row, Watched):
            asked = [*row.asked, *(name for name in self._also if name not in row.asked)]
            unread = [name for name in names if name not in asked][:MOST_NAMES]
            near = {name: [meant for meant in asked if is_near(name, meant)] for name in unread}
            self._near[names] = [
                (name, min(found, key=lambda meant: abs(len(meant) - len(name))))
                for name, found in near.items()
                if found
            ]
        for name, meant in self._near.get(names, ()):
            if row[name] is not None and row.get(meant) is None:
                self._counts[name, meant] += 1

    def join(self, other: "Unread") -> None:
        """Takes up what another one counted of rows behind these."""
        self._counts += other._counts

    def sentences(self, file: str) -> list[str]:
        """Words each column with what is probably meant."""
        return [
            f"{file}: nothing reads the column `{printable(name)}`, and {count:,} rows that have it lack "
            f"`{printable(meant)}`, which is read. If it means the same, rename it."
            for (name, meant), count in self._counts.items()
        ]


def is_near(name: str, other: str) -> bool:
    """Tells whether two names are one slip apart, two in long ones, or letters out of order; capitals do not count.

    Example:
        >>> is_near("corect", "correct"), is_near("awnser", "answer"), is_near("idx", "id")
        (True, True, False)
    """
    ours, theirs = (re.sub(r"[\W_]", "", each[:100]).lower() for each in (name, other))
    if ours == theirs or min(len(ours), len(theirs)) < LEAST or abs(len(ours) - len(theirs)) > 2:
        return ours == theirs
    a, b = _without_shared(*_without_shared(ours, theirs))
    slip = max(len(a), len(b)) <= 1 or sorted(a) == sorted(b)
    return slip or SequenceMatcher(None, ours, theirs).ratio() >= ALIKE


def _without_shared(ours: str, theirs: str) -> tuple[str, str]:
    """Takes away what both begin with, and turns them round."""
    place = count_shared(ours, theirs)
    return ours[place:][::-1], theirs[place:][::-1]


def saying_unread(loaded: tuple[Rows, Report]) -> tuple[Rows, Report]:
    """Says what is not read of rows that were loaded, for commands without findings, and hands them on."""
    for sentence in loaded[1].unread:
        say(f"warning: {sentence}")
    return loaded
