"""Ends a process of a run whose launcher or whose peers are gone, with one sentence."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

import psutil

from align.console import say
from align.errors import UserError
from align.recipe.problems import one_line
from align.secrets import mask

BEAT, FAILED = "beat", "failed"
BEAT_SECONDS = 5.0
SILENT_SECONDS = 40.0  # a reward that holds Python's lock for as long looks the same as a host that is gone
_LAUNCHERS = ("accelerate", "accelerate_cli.py", "torchrun", "deepspeed")
_LAUNCHING = ("accelerate.commands.", "torch.distributed.", "deepspeed.launcher.")  # started with `python -m`


class Place(NamedTuple):
    """Where a process runs; those of one host, boot and namespace see each other's process ids."""

    host: str
    booted: int
    namespace: int  # of process ids: containers have their own
    pid: int

    @classmethod
    def here(cls) -> "Place":
        """Finds the place of this process."""
        namespace = Path("/proc/self/ns/pid")
        return cls(
            platform.node(), int(psutil.boot_time()), namespace.stat().st_ino if namespace.exists() else 0, os.getpid()
        )


class Watch:
    """Looks every second whether the launcher lives and, in a run of several processes, whether the others do.

    Two threads: one talks to the store of the launch, which a cut network blocks for ever, and one judges. `connect`
    opens a connection to the store; None in a run of one process.
    """

    def __init__(self, rank: int, places: Sequence[Place], connect: Callable[[], Any] | None = None) -> None:
        self._rank, self._places, self._connect = rank, places, connect
        self._left = Event()
        self._parent = os.getppid()
        self._is_launched = _is_launcher(self._parent)
        now = time.monotonic()
        self._beats: list[str] = [""] * len(places)
        self._changed = [now] * len(places)
        self._answered = self._read = now  # when the store answered, and when it was last asked for all beats
        self._missed: dict[int, float] = {}  # since when a process of this host is not there
        self._failure: tuple[int, str] | None = None
        self._broken: str | None = None

    def __enter__(self) -> "Watch":
        self._store = self._connect() if self._connect else None
        self._threads = [Thread(target=self._judge, daemon=True, name="watch")]
        if self._store is not None:
            self._threads.append(Thread(target=self._talk, args=(self._store,), daemon=True, name="talk"))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._left.set()
        for thread in self._threads:
            thread.join(2)
        if self._store is not None and kind is None and self._broken is None:
            try:
                self._store.set(f"{BEAT}/{self._rank}", json.dumps({"left": True}))
            except Exception as lost:  # who holds the store has left before, and the work is done
                sys.stderr.write(f"The other processes could not be told of the end: {one_line(lost)}\n")

    def fail(self, error: BaseException) -> None:
        """Tells the others why this process ends, so that they end, too; the first word counts.

        An error of a connection is first held against what the others say: one of them may be its cause, and then
        this process ends with that.
        """
        if _is_of_connection(error):
            seconds = SILENT_SECONDS + 2 * BEAT_SECONDS
            say(f"The connection to another process broke. Waiting up to {seconds:.0f} s to learn why.")
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and not self._left.is_set():
                time.sleep(0.2)  # the judge ends this process as soon as it knows
        text = str(error) if isinstance(error, UserError) else one_line(error)
        if self._connect is not None:
            try:  # by a connection of its own: the one of the thread may be waiting
                self._connect().compare_set(FAILED, "", json.dumps([self._rank, mask(text)]))
            except Exception as lost:  # whoever holds the store is gone, and then the others know
                sys.stderr.write(f"The other processes could not be told: {one_line(lost)}\n")

    def _talk(self, store: Any) -> None:
        beat = 0
        others = [f"{BEAT}/{rank}" for rank in range(len(self._places))]
        told = 0.0
        while not self._left.wait(0.5):
            try:
                if beat == 0:
                    for key in others:
                        store.compare_set(key, "", json.dumps({}))  # so that asking for them never waits
                if time.monotonic() - told > BEAT_SECONDS:
                    beat, told = beat + 1, time.monotonic()
                    store.set(f"{BEAT}/{self._rank}", json.dumps({"beat": beat}))
                    asked = time.monotonic()
                    for rank, value in enumerate(store.multi_get(others)):
                        if value.decode() != self._beats[rank]:
                            self._beats[rank], self._changed[rank] = value.decode(), time.monotonic()
                    self._read = asked
                if store.check([FAILED]):
                    self._failure = tuple(json.loads(store.get(FAILED)))
                self._answered = time.monotonic()
            except Exception as error:
                self._broken = one_line(error)
                return

    def _judge(self) -> None:
        while not self._left.wait(0.5):
            if self._is_launched and os.getppid() != self._parent:
                self._end(f"The launcher of this run (process {self._parent}) is gone, so its processes end, too.")
            if self._store is None:
                continue
            if self._failure is not None and self._failure[0] != self._rank:
                rank, text = self._failure
                self._end(f"{self._name(rank)} ended the run: {text}")
            for rank in range(len(self._places)):
                wrong = self._wrong_with(rank)
                if wrong is not None:
                    self._end(f"{self._name(rank)} {wrong}", rank)
            silence = time.monotonic() - self._answered
            if self._broken is not None or silence > SILENT_SECONDS:
                why = self._broken or f"no answer for {SILENT_SECONDS:.0f} s"
                where = f"{self._places[0].host} ({os.environ['MASTER_ADDR']})"
                self._end(f"The launcher on {where} cannot be reached, so the run ends here: {why}.", 0)

    def _wrong_with(self, rank: int) -> str | None:
        said = json.loads(self._beats[rank] or "{}")
        if rank == self._rank or said.get("left"):
            return None
        now = time.monotonic()
        if self._is_here(rank) and not _lives(self._places[rank].pid):
            # It may have taken leave since the beats were read.
            return "is gone, so the run ends." if self._read > self._missed.setdefault(rank, now) else None
        if now - self._changed[rank] > SILENT_SECONDS and now - self._answered < BEAT_SECONDS:
            return (
                f"has said nothing for {SILENT_SECONDS:.0f} s, so the run ends: it or its network is gone, or "
                "something in it holds Python's lock."
            )
        return None

    def _name(self, rank: int) -> str:
        return f"Process {rank} on {self._places[rank].host}"

    def _is_here(self, rank: int) -> bool:
        return self._places[rank][:-1] == self._places[self._rank][:-1]

    def _end(self, sentence: str, fault: int | None = None) -> None:
        """Says it once on each host, but not where the process at fault has said it itself, and ends at once.

        What waits for another process, in a collective operation or in the store, cannot be interrupted.
        """
        here = [rank for rank in range(len(self._places)) if self._is_here(rank) and rank != fault]
        has_said = self._failure is not None and self._is_here(self._failure[0])
        if self._rank == min(here, default=self._rank) and not has_said:
            sys.stderr.write(f"Error: {mask(sentence)}\n")
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(1)


def _is_launcher(pid: int) -> bool:
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return any(Path(word).name in _LAUNCHERS or word.startswith(_LAUNCHING) for word in words[:4])


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_of_connection(error: BaseException) -> bool:
    text = f"{type(error).__module__} {type(error).__name__} {error}"
    return isinstance(error, RuntimeError) and any(
        word in text for word in ("DistBackendError", "DistNetworkError", "gloo", "NCCL", "Connection closed by peer")
    )
