"""The processes of one run: what they tell each other before training, and that none is waited for in vain."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from align.console import say
from align.runs.watch import Place, Watch

_ASK_AGAIN = timedelta(seconds=5)  # of waiting for a value; the watch ends a process whose peer is gone
_AT_ONCE = 4 << 20  # characters of a value; JSON writes ASCII
_HELLO_SECONDS = 60  # after which a process that has not come is named, once


class Peers:
    """The processes of a run, where it is the only one."""

    rank, size, is_local_main = 0, 1, True

    def gather(self, name: str, value: Any) -> list[Any]:
        """Tells a value, and returns those of all processes in the order of their ranks."""
        return [value]

    def from_main(self, name: str, value: Callable[[], Any]) -> Any:
        """Returns what the main process computes; what it raises ends the run on all hosts."""
        return value()

    def forget(self, name: str) -> None:
        """Takes back the value that this process told, once all have it."""

    def host_of(self, rank: int) -> str:
        """Names the host of a process."""
        return platform.node()


class StorePeers(Peers):
    """Processes that meet in the store of their launcher, which nothing else here may use: a call may wait."""

    def __init__(self, store: Any, rank: int, size: int) -> None:
        self._store, self.rank, self.size = store, rank, size
        self.is_local_main = os.environ.get("LOCAL_RANK", "0") == "0"
        self._told: dict[str, int] = {}  # parts of each value
        self.places = [Place(*place) for place in self.gather("hello", Place.here())]

    def gather(self, name: str, value: Any) -> list[Any]:
        """Tells a value, and returns those of all processes in the order of their ranks."""
        self._tell(f"{name}/{self.rank}", json.dumps(value))
        return [json.loads(self._hear(f"{name}/{rank}", rank)) for rank in range(self.size)]

    def from_main(self, name: str, value: Callable[[], Any]) -> Any:
        """Returns what the main process computes; what it raises ends the run on all hosts."""
        if self.rank == 0:
            self._tell(name, json.dumps(value()))
        return json.loads(self._hear(name, 0))

    def forget(self, name: str) -> None:
        """Takes back the value that this process told, once all have it: the store would keep it to the end."""
        key = f"{name}/{self.rank}"
        for each in (key, *(f"{key}/{i}" for i in range(1, self._told.pop(key)))):
            self._store.delete_key(each)

    def host_of(self, rank: int) -> str:
        """Names the host of a process."""
        return self.places[rank].host

    def _tell(self, key: str, text: str) -> None:
        """Writes a text in parts, because the store takes 8 MiB at once; the first one tells how many there are."""
        parts = [text[start : start + _AT_ONCE] for start in range(0, len(text), _AT_ONCE)]
        for i, part in enumerate(parts[1:], 1):
            self._store.set(f"{key}/{i}", part)
        self._store.set(key, f"{len(parts)}:{parts[0]}")
        self._told[key] = len(parts)

    def _hear(self, key: str, rank: int) -> bytes:
        count, first = self._wait(key, rank).split(b":", 1)
        return first + b"".join(self._wait(f"{key}/{i}", rank) for i in range(1, int(count)))

    def _wait(self, key: str, rank: int) -> bytes:
        began, has_said = time.monotonic(), False
        while True:
            try:
                self._store.wait([key], _ASK_AGAIN)
                return bytes(self._store.get(key))
            except Exception as error:  # torch has its own class for this, which importing would cost seconds
                if "imeout" not in f"{type(error).__name__} {error}":
                    raise
            if not has_said and key.startswith("hello/") and time.monotonic() - began > _HELLO_SECONDS:
                has_said = True
                say(f"Waiting for process {rank} of {self.size}, which has not started yet.")


@contextmanager
def joined() -> Iterator[Peers]:
    """Joins the other processes that the same launch started; alone if there are none.

    While it is open, this process ends with one sentence if its launcher is gone, or another process failed, died, or
    was silent for too long; and if this one fails, the others end with its sentence.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        with Watch(0, [Place.here()]):
            yield Peers()
        return
    rank = int(os.environ["RANK"])
    peers = StorePeers(_connect(), rank, size)
    with Watch(rank, peers.places, _connect) as watch:
        try:
            yield peers
        except BaseException as error:
            watch.fail(error)
            raise


def _connect() -> Any:
    """Opens a connection of its own to the store of the launch."""
    from torch.distributed import PrefixStore, TCPStore

    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        from accelerate import PartialState

        PartialState()  # other launchers leave it to the main process to open the store
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(address, port, is_master=False, timeout=timedelta(seconds=60), wait_for_workers=False)
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # with `--max_restarts` the store outlives the first
    return PrefixStore(f"truealign/{attempt}", store)
