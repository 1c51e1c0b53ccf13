"""What became of the rows of a file, kept while they are read, also by several processes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from align.data.columns import MISSING, NEEDED, Lacking, NeverThere
from align.data.problems import RowProblem, shorten
from align.data.raw_rows import RawRow
from align.data.unread import Unread

if TYPE_CHECKING:
    from align.data.loading import Schema


class Item(Protocol):
    """What becomes of a row."""

    @property
    def id(self) -> str:
        """Its name, unique in the data set."""

    @property
    def row(self) -> int:
        """Where it stood in the file."""


T = TypeVar("T", bound=Item)


class Account(Generic[T]):
    """Rows that were read, those that cannot be used, and where each id stands.

    Args:
        file: Where they are from.
        schema: What they look like.
    """

    def __init__(self, file: str, schema: "Schema") -> None:
        self.file = file
        self._missing = MISSING if schema.adapter is None else NEEDED.format(schema.adapter[0])
        self.num_read = 0
        self.problems: list[RowProblem] = []
        self.taken: dict[str, int] = {}  # row by id, in the order in which they were kept
        self.lacking = Lacking(file, schema.needs)
        self.never = NeverThere(file, schema.columns)
        self.unread = Unread(schema.also)

    def take(self, raw: RawRow, result: T | RowProblem, keep: Callable[[T], None]) -> None:
        """Takes one row up, and keeps what became of it if it can be used."""
        self.num_read += 1
        if not isinstance(raw.content, RowProblem):
            self.never.look(raw.content)
        if not isinstance(result, RowProblem) and result.id in self.taken:
            result = self._repeats(result.id, result.row)
        if isinstance(result, RowProblem):
            self.problems.append(result)
            if result.rule in (MISSING, self._missing):
                self.lacking.add(result, raw)
        else:
            self.taken[result.id] = result.row
            keep(result)

    def join(self, other: "Account[T]") -> set[int]:
        """Takes up what another account has of the rows behind these.

        Returns:
            Which of its kept items cannot be used, from 0, since these rows have their id.
        """
        self.num_read += other.num_read
        self.lacking.join(other.lacking)
        self.never.join(other.never)
        self.unread.join(other.unread)
        repeated = self.taken.keys() & other.taken.keys()
        problems = other.problems + [self._repeats(name, other.taken[name]) for name in repeated]
        self.problems += sorted(problems, key=lambda problem: problem.row) if repeated else problems
        places = {place for place, name in enumerate(other.taken) if name in repeated} if repeated else set()
        self.taken.update((name, row) for name, row in other.taken.items() if name not in repeated)
        return places

    def _repeats(self, name: str, row: int) -> RowProblem:
        remedy = f"Row {self.taken[name]} has it: rename one."
        return RowProblem(self.file, row, "id", shorten(name), "the id is taken", remedy)
