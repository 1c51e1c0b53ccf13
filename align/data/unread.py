"""Columns that nothing reads and whose names are near one that is read: a misspelt one is as good as none."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any, TypeVar

from align.console import say
from align.data.columns import Columns, word_mapping
from align.data.problems import DataReport, Row, printable
from align.data.texts import count_shared

ALIKE = 0.9  # as difflib counts it: two slips in a long name
LEAST = 3  # letters of a name that may have a slip: `idx` is none of `id`
MOST_SETS, MOST_NAMES = 100, 300  # sets of columns that are looked at, and columns of one
SILENT = ("none", "false", "")
AFFIX = re.compile(r"^(?:is|was)(?=...)|(?:ness|flag)$")  # `is_correct`, `correctness`
SPANS = ("chosen_spans", "rejected_spans")
# Other words for what rows may have: the columns that are read, none of which such a row has.
ROLES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("img", "picture", "photo", "imagepath"), ("image", "images", "video")),
    **dict.fromkeys(("imgs", "pictures", "photos"), ("images", "image", "video")),
    **dict.fromkeys(("tied", "draw"), ("tie",)),
    **dict.fromkeys(("right", "isright"), ("correct",)),
    "spans": SPANS,
}

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
        self._near: dict[tuple[str, ...], list[tuple[str, tuple[str, ...]]]] = {}
        self._counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.filled: set[str] = set()  # columns that say something in some row

    def watch(self, row: Row) -> Row:
        """Returns the row, watched if none with its columns was yet."""
        return row if len(self._near) >= MOST_SETS or tuple(row) in self._near else Watched(row)

    def note(self, row: Row) -> None:
        """Takes up a row that `watch` returned, once it is read."""
        names = tuple(row)
        if isinstance(row, Watched):
            asked = [*row.asked, *(name for name in self._also if name not in row.asked)]
            unread = [name for name in names if name not in asked][:MOST_NAMES]
            self._near[names] = [(name, meant) for name in unread if (meant := _meant(name, asked))]
        for name, meant in self._near.get(names, ()):
            if row[name] is not None and all(row.get(each) is None for each in meant):
                self._counts[name, meant] += 1
        self.filled.update(name for name in names if name not in self.filled and str(row[name]).lower() not in SILENT)

    def join(self, other: "Unread") -> None:
        """Takes up what another one counted of rows behind these."""
        self._counts += other._counts
        self.filled |= other.filled

    def sentences(self, file: str, columns: Columns | None) -> list[str]:
        """Words each column with what is probably meant, and how a recipe that has `columns` says so."""
        return [
            f"{file}: nothing reads the column `{printable(name)}`, and {count:,} rows that have it lack "
            f"{' and '.join(f'`{printable(each)}`' for each in meant)}, which {'are' if len(meant) > 1 else 'is'} "
            f"read. {_remedy(name, meant, columns)}"
            for (name, meant), count in self._counts.items()
        ]


def _remedy(name: str, meant: tuple[str, ...], columns: Columns | None) -> str:
    if meant == SPANS:
        return "Write a list of offsets for each response."
    if columns is None:
        return "If it means the same, rename it."
    entry = word_mapping({**columns, meant[0]: name})
    return f"If it means the same, say so with `columns: {entry}` under `dataset` of the recipe, or rename it."


def _meant(name: str, asked: Sequence[str]) -> tuple[str, ...]:
    """Returns the columns that a name may stand for, among those that are read."""
    if near := [meant for meant in asked if is_near(name, meant)]:
        return (min(near, key=lambda meant: abs(len(meant) - len(name))),)
    return tuple(each for each in ROLES.get(_plain(name), ()) if each in asked)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name[:100]).lower()


def is_near(name: str, other: str) -> bool:
    """Tells whether two names are one slip apart, two in long ones, or letters out of order; capitals do not count.

    Example:
        >>> is_near("corect", "correct"), is_near("is_correct", "correct"), is_near("idx", "id")
        (True, True, False)
    """
    ours, theirs = _plain(name), _plain(other)
    if AFFIX.sub("", ours) == theirs:
        return True
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
