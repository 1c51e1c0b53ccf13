"""Which part of an evaluation this process asks: all of it, unless it was started as one of several."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

Asked = list[tuple[list[int], list[Any]]]  # places of a chunk's items, and their answers
Ask = Callable[[list[int]], list[Any]]


class Division:
    """The whole evaluation in one process; divided ones override what they do otherwise.

    Attributes:
        is_main: Whether this process calls rewards, keeps answers, writes and prints.
        is_whole: Whether all answers come together here.
        compares: Whether what is asked is compared with what others ask.
        size: Chunks that are asked at the same time.
        is_first: Whether the next question needs no answer to an earlier one.
    """

    is_main = is_whole = True
    compares = False
    size = 1
    is_first = True

    def claim(self, out: Path, cache: Path, fingerprints: Mapping[str, str]) -> None:
        """Takes a folder into use, and fills its cache with what there is of other processes.

        Args:
            out: The evaluation's folder.
            cache: Of the answers.
            fingerprints: Of the models, by name.
        """

    def begin(self, stage: str, keys: Sequence[str]) -> None:
        """Compares what is asked next with what the others ask."""

    def from_main(self, value: Callable[[], Any]) -> Any:
        """Returns what the main process computes."""
        return value()

    def answer(self, chunks: Sequence[tuple[int, list[int]]], ask: Ask) -> Asked:
        """Asks `size` chunks or fewer, each with its number among all, and returns what was answered."""
        return [(places, ask(places)) for _, places in chunks]

    def end(self, asked: int, total: int) -> None:
        """Takes note of how many answers of a question are here.

        Raises:
            EndOfPart: If others have the rest.
        """

    def finish(self) -> None:
        """Says, and writes, that this part is asked."""


class EndOfPart(Exception):
    """This process has asked what it can without the others' answers, or what it is there for."""


_DIVISION: ContextVar[Division | None] = ContextVar("division", default=None)


def current() -> Division:
    """Returns the division of the evaluation that runs."""
    return _DIVISION.get() or Division()


@contextmanager
def dividing(division: Division) -> Iterator[None]:
    """Divides the evaluation that runs inside, and ends it where this process's part ends."""
    token = _DIVISION.set(division)
    try:
        yield
    except EndOfPart:
        division.finish()
    finally:
        _DIVISION.reset(token)


@contextmanager
def own_part() -> Iterator[None]:
    """Runs something that needs no answer from before; in a shard, it ends where others' answers are needed."""
    division = current()
    division.is_first = True
    try:
        yield
    except EndOfPart:
        if division.is_whole:
            raise


def end_of_shard() -> None:
    """Ends a shard: what follows needs all answers.

    Raises:
        EndOfPart: In a shard.
    """
    if not current().is_whole:
        raise EndOfPart


def end_of_part() -> None:
    """Ends every process but the one that writes the results.

    Raises:
        EndOfPart: In the others.
    """
    if not (current().is_whole and current().is_main):
        raise EndOfPart
