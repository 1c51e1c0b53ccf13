"""Which part of an evaluation this process asks: all of it, or what falls to one of several of a launch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from align.errors import UserError
from align.models.policies.answer_keys import digest
from align.runs.peers import Peers

Asked = list[tuple[list[int], list[Any]]]  # places of a chunk's items, and their answers
Ask = Callable[[list[int]], list[Any]]


class Division:
    """The whole evaluation in one process; divided ones override what they do otherwise."""

    is_main = is_whole = True  # it calls rewards, keeps answers, writes and prints; all answers come together here
    compares = False  # what is asked with what others ask
    size = 1  # chunks that are asked at the same time
    is_first = True  # the next question needs no answer to an earlier one

    def claim(self, out: Path, cache: Path, fingerprints: Mapping[str, str]) -> None:
        """Takes a folder into use, and fills its cache with what there is of other processes."""

    def begin(self, stage: str, keys: Sequence[str]) -> None:
        """Compares what is asked next with what the others ask."""

    def from_main(self, value: Callable[[], Any]) -> Any:
        """Returns what the main process computes."""
        return value()

    def answer(self, chunks: Sequence[tuple[int, list[int]]], ask: Ask) -> Asked:
        """Asks `size` chunks or fewer, each with its number among all, and returns what was answered."""
        return [(places, ask(places)) for _, places in chunks]

    def end(self, asked: int, total: int) -> None:
        """Takes note of how many answers of a question are here; raises `EndOfPart` if others have the rest."""

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
    finally:
        division.is_first = False  # also where nothing was asked: what follows may need what came before


def end_of_shard() -> None:
    """Ends a shard by `EndOfPart`: what follows needs all answers."""
    if not current().is_whole:
        raise EndOfPart


def end_of_part() -> None:
    """Ends every process but the one that writes the results, by `EndOfPart`."""
    if not (current().is_whole and current().is_main):
        raise EndOfPart


class Launched(Division):
    """One process of several in step; chunks are those of one process, so that padding, and every number, stays."""

    compares = True

    def __init__(self, peers: Peers, own: Division) -> None:
        self._peers, self._own = peers, own
        self.is_main, self.size = peers.rank == 0, peers.size
        self._count = 0

    def claim(self, out: Path, cache: Path, fingerprints: Mapping[str, str]) -> None:
        """Leaves it to the main process; the others' folders are for nobody."""
        if self.is_main:
            self._own.claim(out, cache, fingerprints)

    def begin(self, stage: str, keys: Sequence[str]) -> None:
        """Compares what is asked with what the main process asks."""
        if self.is_main:
            self._own.is_first, self.is_first = self.is_first, False
            self._own.begin(stage, keys)
        asked = self._gather([stage, digest(list(keys))])
        other = next((rank for rank, each in enumerate(asked) if each != asked[0]), None)
        if other is not None and self.is_main:  # which ends the others
            raise UserError(
                f"Process {other} on {self._peers.host_of(other)} asks something else than process 0 ({stage}): its "
                "data, models or libraries differ. Give all processes the same ones."
            )

    def from_main(self, value: Callable[[], Any]) -> Any:
        """Returns what the main process computes."""
        return self._gather(value() if self.is_main else None)[0]

    def answer(self, chunks: Sequence[tuple[int, list[int]]], ask: Ask) -> Asked:
        """Asks one of the chunks, and returns the answers to all."""
        rank = self._peers.rank
        own = ask(chunks[rank][1]) if rank < len(chunks) else None
        answers = self._gather(own)
        return [(places, said) for (_, places), said in zip(chunks, answers, strict=False)]

    def _gather(self, value: Any) -> list[Any]:
        found = self._peers.gather(f"evaluation/{self._count}", value)
        if self._count:
            self._peers.forget(f"evaluation/{self._count - 1}")  # all have read it, or they would not be here
        self._count += 1
        return found
