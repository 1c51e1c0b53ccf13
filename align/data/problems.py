from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from align.errors import DataError, word_setting

SHOWN_PROBLEMS = 5
MOST_SHOWN = 20  # of kinds of problems, each with its first row


class RowProblem(NamedTuple):
    """Why one row cannot be used."""

    file: str
    row: int  # line of a JSONL or CSV file, else number of the record; both from 1
    column: str  # empty if the whole row is meant
    value: str  # shortened
    rule: str
    remedy: str

    def __str__(self) -> str:
        value = f" (value: {self.value})" if self.value else ""
        column = f", column `{self.column}`" if self.column else ""
        return printable(f"{self.file}, row {self.row}{column}: {self.rule}{value}. {self.remedy}")


class BadRow(ValueError):
    """A rule that a row breaks."""

    def __init__(self, column: str, value: object, rule: str, remedy: str) -> None:
        super().__init__(f"column `{column}`: {rule}. {remedy}")
        self.column = column
        self.value = "" if value is None else shorten(value)
        self.rule = rule
        self.remedy = remedy

    def problem(self, file: object, row: int, value: object = None) -> RowProblem:
        """Says in which row of a file it was broken; `value` is the row where its column says less."""
        shown = self.value if value is None else shorten(value)
        return RowProblem(str(file), row, printable(self.column), shown, self.rule, self.remedy)


def row_error(dataset_name: str, index: int, bad: BadRow) -> DataError:
    """Words a rule that a row of a data set in memory breaks; rows are counted from 1."""
    return DataError(str(bad.problem(f"{dataset_name} dataset", index + 1)))


@dataclass
class DataReport:
    """What was read, kept and left out."""

    file: str  # as given
    num_read: int = 0  # blank lines not counted
    num_kept: int = 0
    problems: list[RowProblem] = field(default_factory=list)  # one for each row left out
    unread: list[str] = field(default_factory=list)  # a sentence for each column that seems misspelt
    filled: set[str] = field(default_factory=set)  # columns that have a value in some row

    @property
    def reasons(self) -> dict[str, int]:
        """Rows left out by rule, the most frequent first."""
        return dict(Counter(problem.rule for problem in self.problems).most_common())

    @property
    def counts(self) -> dict[str, int]:
        """Everything that was counted, by name, for tables and JSON."""
        return {"read": self.num_read, "kept": self.num_kept, "left_out": len(self.problems)}


def bad_rows_error(file: str, problems: Sequence[RowProblem], num_read: int) -> DataError:
    """Words the error about rows that cannot be used: the first of every kind, a few more, and counts by rule."""
    firsts = {(problem.column, problem.rule): place for place, problem in reversed([*enumerate(problems)])}
    places = list(dict.fromkeys([*sorted(firsts.values()), *range(len(problems))]))[: max(SHOWN_PROBLEMS, len(firsts))]
    listed = "\n".join(f"  {problems[place]}" for place in sorted(places[:MOST_SHOWN]))
    counts = Counter(problem.rule for problem in problems).most_common()
    by_rule = "\n".join(f"  {count} x {rule}" for rule, count in counts)
    num_shown, num_bad = min(MOST_SHOWN, len(places)), len({problem.row for problem in problems})
    skipping = word_setting("on_bad_rows", "skip")
    leave_out = f", or set {skipping} to leave them out" if skipping and num_bad < num_read else ""
    return DataError(
        f"{num_bad} of {num_read} rows of {file} cannot be used. The first {num_shown}:\n"
        f"{listed}\nIn all:\n{by_rule}\nMend them{leave_out}."
    )


def shorten(value: object, width: int = 60) -> str:
    """Writes a value on one line of limited width.

    Example:
        >>> shorten("a" * 100, width=10)
        "'aaaaaa..."
    """
    if isinstance(value, str | bytes):
        value = value[:width]  # repr is longer still
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} that is nested too deeply"
    return text if len(text) <= width else text[: width - 3] + "..."


def printable(text: str) -> str:
    r"""Escapes what would move the cursor of a terminal, break a line or hide.

    Example:
        >>> printable("a\x1b[2J\n")
        'a\\x1b[2J\\n'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


Row = Mapping[str, Any]


class RawRow(NamedTuple):
    """One row before it is understood."""

    row: int
    content: Row | RowProblem
    untyped: bool = False  # every value is text, as in CSV
    file: str = ""

    @property
    def name(self) -> str:
        """Names a row that has no id of its own after its file and place."""
        return f"{Path(self.file).stem}-{self.row}"
