"""An evaluation on the processes of one launch: they deal the chunks out and tell each other the answers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from align.errors import UserError
from align.evaluation.divided.division import Ask, Asked, Division
from align.models.policies.answer_keys import digest
from align.runs.peers import Peers


class Launched(Division):
    """One process of several that run in step, each with all answers.

    Chunks are those of one process, so that padding, and with it every number, is the same.

    Args:
        peers: The processes.
        own: What the main process does beside.
    """

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
        """Compares what is asked with what the main process asks.

        Raises:
            UserError: If it is something else.
        """
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
