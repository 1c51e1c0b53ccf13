"""One killable worker process, seen from the pool: its pipes, what was sent to it, and how it ended."""

import contextlib
import fcntl
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Any

from rewards.running.worker import LENGTH, START, write_message

HOME = str(Path(__file__).resolve().parents[2])
PIPE_BYTES = 1 << 20
BYTES_OF_LOADING = 1 << 20  # one that reads less within its limit waits: it looks up an address again and again
SECONDS_TO_END = 0.5  # for a process that has closed its pipe
# A worker is no rank: a library that found these would wait for the other ranks.
NOT_INHERITED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
NOT_INHERITED_PREFIXES = ("ACCELERATE_", "TORCHELASTIC_")
HASH_SEED = "0"  # `hash(text)` and the order of a set are then the same in every worker
FAMILY = "TRUEALIGN_WORKER"  # a variable that the processes a worker starts inherit, by which they are found


class WorkerError(RuntimeError):
    """Workers that cannot be started, or cannot load their function."""


class WorkerProcess:
    """One process with its pipes: calls to it, results from it, and one that only tells it whether this one lives.

    Attributes:
        sent: Indices of the calls that are with it, the running one first.
        since: When it started what it is doing.
        is_ready: Whether it has loaded the function.
        is_full: Whether it said that it has no memory left, and ends.
        ended: Whether its process is gone.
    """

    def __init__(self, function: bytes, memory_bytes: int, output: int | None = None) -> None:
        self.function = function
        self.memory_bytes = memory_bytes
        self.output = output
        self.start()

    def start(self) -> None:
        """Starts the process, or another in its place."""
        self.sent: deque[int] = deque()
        self.since = self.since_read = time.monotonic()
        self.bytes_read = 0
        self.is_ready = self.is_full = self.has_ended = False
        self.buffer = bytearray()
        jobs, self.jobs = os.pipe()
        self.results, results = os.pipe()
        lifeline, held = os.pipe()
        self.pipes = [self.jobs, self.results, held]
        os.set_blocking(self.results, False)
        _widen(self.jobs)
        numbers = [str(number) for number in (jobs, results, lifeline, self.memory_bytes)]
        self.family = f"{FAMILY}={uuid.uuid4().hex}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, json.dumps([HOME, *sys.path]), *numbers],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            env=_environment(self.family),
            pass_fds=(jobs, results, lifeline),
            start_new_session=True,  # its own children go with it, and Ctrl-C is this process's to handle
        )
        for end in (jobs, results, lifeline):
            os.close(end)
        self._write(self.function)

    @property
    def ended(self) -> bool:
        """Whether nothing can be asked of it."""
        return self.has_ended or self.process.poll() is not None

    def seconds_idle(self) -> float:
        """Returns how long the call has run and read next to nothing, unlike one that loads a model from files."""
        with contextlib.suppress(OSError), open(f"/proc/{self.process.pid}/io") as file:
            count = int(file.readline().split()[1])
            if count - self.bytes_read >= BYTES_OF_LOADING:
                self.bytes_read, self.since_read = count, time.monotonic()
        return time.monotonic() - max(self.since, self.since_read)

    def send(self, message: bytes, indices: list[int]) -> None:
        """Hands over calls, by their places in the batch."""
        self.sent.extend(indices)
        self.since = time.monotonic()
        self._write(message)

    def receive(self) -> list[tuple[Any, ...]]:
        """Reads what has arrived; the clock of the next call starts with the last result."""
        try:
            while part := os.read(self.results, 1 << 16):
                self.buffer += part
                if len(part) < 1 << 16:
                    break
            else:
                self.has_ended = True
        except BlockingIOError:
            pass
        messages = []
        try:
            for message in self._take_messages():
                messages.append(pickle.loads(message))
        except Exception:  # somebody else wrote into the pipe; nothing that comes after can be trusted
            self.has_ended = True
        if messages:
            self.since = time.monotonic()
        if messages and not self.is_ready:
            if messages[0] is not None:
                raise WorkerError(
                    f"A worker process could not load the function: {messages[0]}. A function of the script that was "
                    "started must move to a file of its own, and what it imports must be installed."
                )
            self.is_ready = True
            messages = messages[1:]
        return messages

    def _take_messages(self) -> list[bytes]:
        messages, start = [], 0
        while start + LENGTH.size <= len(self.buffer):
            (size,) = LENGTH.unpack_from(self.buffer, start)
            end = start + LENGTH.size + size
            if end > len(self.buffer):
                break
            messages.append(bytes(self.buffer[start + LENGTH.size : end]))
            start = end
        del self.buffer[:start]
        return messages

    def stop(self) -> str:
        """Ends the process and its children, and says how it ended if it had ended before."""
        code = self.process.poll()
        if code is None and self.has_ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self.process.wait(timeout=SECONDS_TO_END)
        if self.pipes:  # else it was stopped before, and its number may be another's
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            for pid in family_members(self.family):  # those that left the group
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        while self.pipes:
            os.close(self.pipes.pop())
        if code is not None and code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code}" if code is not None else "it was stopped"

    def _write(self, message: bytes) -> None:
        try:
            write_message(self.jobs, message)
        except BrokenPipeError:
            self.has_ended = True


def _widen(pipe: int) -> None:
    """Lets a pipe hold a whole message, where the system can: the writer would wait for the reader in between."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # above what a user may have
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def family_members(family: str) -> list[int]:
    """Finds the processes whose environment holds a variable; none where there is no `/proc`."""
    if not os.path.isdir("/proc/self"):
        return []
    wanted, found = family.encode() + b"\0", []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:  # not of those that just ended
            found += [int(name)] if wanted in file.read() else []
    return found


def _environment(family: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in NOT_INHERITED and not name.startswith(NOT_INHERITED_PREFIXES)
    }
    own = os.environ.get("PYTHONHASHSEED", "")
    name, _, value = family.partition("=")
    fixed = {name: value, "PYTHONHASHSEED": own if own.isdigit() else HASH_SEED}
    return {"OMP_NUM_THREADS": "1"} | kept | fixed  # the workers are what runs in parallel
