"""Which part of an evaluation this process asks: all of it, or what falls to one of several of a launch."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from align.errors import UserError
from align.evaluation.options import ByEngine
from align.models.policies.answer_keys import digest
from align.options import Computing
from align.runs.peers import Peers, joined

Asked = list[tuple[list[int], list[Any]]]  # places of a chunk's items, and their answers
Ask = Callable[[list[int]], list[Any]]
_MAIN_SAYS_IT = 3.0  # seconds in which the main process, if it fails with the same words, ends the others


class Division:
    """The whole evaluation in one process; one of a launch overrides what it does otherwise."""

    is_main = True  # it calls rewards, keeps answers, writes and prints; all answers come together here
    compares = False  # what is asked with what others ask
    size = 1  # chunks that are asked at the same time

    def begin(self, stage: str, keys: Sequence[str]) -> None:
        """Compares what is asked next with what the others ask."""

    def from_main(self, value: Callable[[], Any]) -> Any:
        """Returns what the main process computes."""
        return value()

    def answer(self, chunks: Sequence[list[int]], ask: Ask) -> Asked:
        """Asks `size` chunks or fewer, and returns what was answered."""
        return [(places, ask(places)) for places in chunks]


class EndOfPart(Exception):
    """This process has asked what it is there for."""


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
        pass
    finally:
        _DIVISION.reset(token)


def end_of_part() -> None:
    """Ends every process but the one that writes the results, by `EndOfPart`."""
    if not current().is_main:
        raise EndOfPart


class Launched(Division):
    """One process of several in step; chunks are those of one process, so that padding, and every number, stays."""

    compares = True

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self.is_main, self.size = peers.rank == 0, peers.size
        self._count = 0

    def begin(self, stage: str, keys: Sequence[str]) -> None:
        """Compares what is asked with what the main process asks."""
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

    def answer(self, chunks: Sequence[list[int]], ask: Ask) -> Asked:
        """Asks one of the chunks, and returns the answers to all."""
        rank = self._peers.rank
        own = ask(chunks[rank]) if rank < len(chunks) else None
        answers = self._gather(own)
        return list(zip(chunks, answers, strict=False))

    def _gather(self, value: Any) -> list[Any]:
        found = self._peers.gather(f"evaluation/{self._count}", value)
        if self._count:
            self._peers.forget(f"evaluation/{self._count - 1}")  # all have read it, or they would not be here
        self._count += 1
        return found


Options = TypeVar("Options", bound=Computing)


@contextmanager
def divided() -> Iterator[Callable[[Options], Options]]:
    """Gives what places options in this process; all but the main one write to a folder that is removed, unheard."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield lambda options: options
        return
    with joined() as peers, ExitStack() as held:
        own: dict[str, Any] = {}
        if peers.rank:
            own["out"] = Path(held.enter_context(tempfile.TemporaryDirectory())) / "out"
            held.enter_context(redirect_stdout(held.enter_context(open(os.devnull, "w"))))
        held.enter_context(dividing(Launched(peers)))
        try:
            yield lambda options: replace(options, **own, device=_device(options))
        except UserError:
            if peers.rank:
                time.sleep(_MAIN_SAYS_IT)
            raise
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()  # some launchers need one, and gloo's threads abort a process that exits


def _device(options: Computing) -> str | None:
    """Gives each process an accelerator of its own, as accelerate numbers them."""
    import torch
    from accelerate.utils import parse_flag_from_env

    if isinstance(options, ByEngine) and options.backend == "vllm":
        raise UserError(
            "`--backend vllm` runs in one process. Leave `accelerate launch` out, or give `--backend transformers`."
        )
    if options.device is not None:
        return options.device
    if parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available():
        return "cpu"
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.accelerator.device_count()
    if local >= count:
        raise UserError(
            f"{local + 1} processes or more were started on this host, which has {count} accelerators. Give "
            f"`--num_processes {count}`, or `--device cpu`."
        )
    torch.accelerator.set_device_index(local)
    return None
