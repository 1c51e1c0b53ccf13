"""Worker processes that can be killed: a call that hangs, dies or eats memory costs its own result only."""

import contextlib
import fcntl
import json
import os
import pickle
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

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

    `sent` are indices of the calls that are with it, the running one first; `since` is when it started what it is
    doing. It `is_ready` once it has loaded the function, and `is_full` when it said that it has no memory left, and
    ends.
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
        if hasattr(fcntl, "F_SETPIPE_SZ"):  # the writer of a message would wait for the reader in between
            with contextlib.suppress(OSError):  # above what a user may have
                fcntl.fcntl(self.jobs, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        numbers = [str(number) for number in (jobs, results, lifeline, self.memory_bytes)]
        family = os.urandom(16).hex()
        self.family = f"{FAMILY}={family}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, json.dumps([HOME, *sys.path]), *numbers],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            env=_environment() | {FAMILY: family},
            pass_fds=(jobs, results, lifeline),
            start_new_session=True,  # its own children go with it, and Ctrl-C is this process's to handle
        )
        for end in (jobs, results, lifeline):
            os.close(end)
        self.send(self.function, [])

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
        try:
            write_message(self.jobs, message)
        except BrokenPipeError:
            self.has_ended = True

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
        messages, start = [], 0
        try:
            while start + LENGTH.size <= len(self.buffer):
                begin = start + LENGTH.size
                end = begin + LENGTH.unpack_from(self.buffer, start)[0]
                if end > len(self.buffer):
                    break
                start = end
                messages.append(pickle.loads(self.buffer[begin:end]))
        except Exception:  # somebody else wrote into the pipe; nothing that comes after can be trusted
            self.has_ended, start = True, len(self.buffer)
        del self.buffer[:start]
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


def family_members(family: str) -> list[int]:
    """Finds the processes whose environment holds a variable; none where there is no `/proc`."""
    if not os.path.isdir("/proc/self"):
        return []
    wanted, found = family.encode() + b"\0", []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:  # not of those that just ended
            found += [int(name)] if wanted in file.read() else []
    return found


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in NOT_INHERITED and not name.startswith(NOT_INHERITED_PREFIXES)
    }
    own = os.environ.get("PYTHONHASHSEED", "")
    hashed = {"PYTHONHASHSEED": own if own.isdigit() else HASH_SEED}
    return {"OMP_NUM_THREADS": "1"} | kept | hashed  # the workers are what runs in parallel


Failure = Literal["error", "timeout", "died"]
SECONDS_TO_START = 300.0  # loading a function may import a large library from a slow disk
SECONDS_BETWEEN_LOOKS = 0.5  # at workers whose pipe a child of theirs keeps open
SECONDS_PER_MESSAGE = 0.001  # of work, at least, if calls are that quick: a message costs a tenth of it


class Outcome(NamedTuple):
    """What became of one call."""

    value: Any  # what the function returned; None after a failure
    failure: Failure | None = None  # error: it raised; died: its process ended
    message: str = ""  # what was raised or how the process ended; empty without a failure
    seconds: float = 0.0  # how long the call ran
    worker: int | None = None  # number of the worker that returned
    ended: bool = False  # whether its process is gone with it: it died, was stopped, or has no memory left


class WorkerPool(contextlib.AbstractContextManager["WorkerPool"]):
    """Calls a function in worker processes, each call within a time limit.

    Workers are fresh interpreters, so threads, CUDA and open sockets of this process are none of their business; they
    have its environment (without the variables of a distributed launch), its `sys.path` and its working folder. They
    end with this process, also when it is killed, and take the processes they started with them. `hash` gives the same
    in all of them. A worker that ran out of memory is replaced. May be used from any thread; `map` runs one at a time.

    Compared on 100 short calls with a limit each, with 1 and 4 workers: pebble 5.2.3 loses one call as well, but takes
    4 to 6 times as long (in chunks 1.2 to 2 times, and a failure then costs a chunk), limits no memory, and leaves
    running what a killed call had started. mpire 2.10.2 (8 to 13 times) ends the batch at a hung or dead call. loky
    3.7.0 (7 to 10 times), like the standard library, ends no hung call and loses all pending ones when a worker dies.

    `func` takes one argument, can be pickled and found by a fresh interpreter. `timeout` is in seconds for one call,
    from the moment it starts. Above `memory_gb` of address space, in GiB, a call gets a `MemoryError`. Workers write
    to the file descriptor `output`. Raises `WorkerError` if `func` cannot be pickled, or a worker cannot load it.

    Example:
        >>> with WorkerPool(len, workers=2, timeout=5.0) as pool:
        ...     [outcome.value for outcome in pool.map(["a", "bcd"])]
        [1, 3]
    """

    def __init__(
        self,
        func: Callable[[Any], Any],
        *,
        workers: int = 1,
        timeout: float | None = None,
        memory_gb: float | None = None,
        output: int | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"`workers` must be at least 1, got {workers}.")
        if timeout is not None and timeout <= 0:
            raise ValueError(f"`timeout` must be above 0 seconds, got {timeout}. Use None for no limit.")
        self.timeout = timeout
        try:
            message = pickle.dumps(func, protocol=pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise WorkerError(
                f"`{getattr(func, '__name__', func)}` cannot be sent to a worker process: {error}. Define it at the "
                "top level of a module or file, or as a class with `__call__`."
            ) from error
        self._lock = threading.Lock()
        self._mean_seconds = SECONDS_PER_MESSAGE
        memory_bytes = int((memory_gb or 0) * 2**30)
        self._workers = [WorkerProcess(message, memory_bytes, output) for _ in range(workers)]
        ending = contextlib.ExitStack()
        for worker in self._workers:
            ending.callback(worker.stop)
        self._finalizer = weakref.finalize(self, ending.close)

    def __exit__(self, *exception: object) -> None:
        self._finalizer()

    def close(self) -> None:
        """Ends the workers at once; the pool cannot be used afterwards."""
        self._finalizer()

    def map(
        self,
        calls: Sequence[Any],
        *,
        timeout: float | None = None,
        to_load: float | None = None,
        not_by: Sequence[int | None] = (),
    ) -> list[Outcome]:
        """Calls the function on each item, and returns one outcome per item, in order.

        `timeout` is in seconds for one call, by default the pool's. A call that goes on reading files has `to_load`
        seconds; the limit then holds from the last one it read. `not_by` has for each call the number of a worker that
        it is not for, where there is another one. Raises `WorkerError` if a worker cannot load the function.
        """
        if not self._finalizer.alive:
            raise WorkerError("The pool is closed.")
        with self._lock:
            try:
                limit, barred = timeout or self.timeout, not_by if len(self._workers) > 1 else ()
                outcomes = _Round(self._workers, calls, limit, self._mean_seconds, to_load, barred).run()
            except BaseException:  # the workers are in the middle of something
                self.close()
                raise
            self._mean_seconds = sum(outcome.seconds for outcome in outcomes) / max(len(outcomes), 1)
        return outcomes


@dataclass
class _Round:
    """One `map`: which calls are still to be sent, and what came back."""

    workers: list[WorkerProcess]
    calls: Sequence[Any]
    timeout: float | None
    mean_seconds: float
    to_load: float | None
    not_by: Sequence[int | None]

    def __post_init__(self) -> None:
        self.least_size = int(SECONDS_PER_MESSAGE / max(self.mean_seconds, 1e-6))
        self.most = max(1, len(self.calls))  # calls in a message
        self.waiting = deque(range(len(self.calls)))
        self.outcomes: dict[int, Outcome] = {}
        self.selector = selectors.DefaultSelector()

    def run(self) -> list[Outcome]:
        with self.selector:
            for worker in self.workers:
                self.selector.register(worker.results, selectors.EVENT_READ, worker)
            while len(self.outcomes) < len(self.calls):
                for worker in self.workers:
                    self._look_after(worker)
                    if worker.is_ready and not worker.sent and self.waiting:
                        self._send(worker)
                for key, _ in self.selector.select(self._seconds_to_wait()):
                    self._receive(key.data)
        return [self.outcomes[index] for index in range(len(self.calls))]

    def _send(self, worker: WorkerProcess) -> None:
        """Sends a part of what is left: large parts first, which saves messages, then small ones, which share out."""
        part = max(1, self.least_size, len(self.waiting) // (2 * len(self.workers)))
        size = min(len(self.waiting), self.most, part)
        number = self.workers.index(worker)
        indices = list(islice((i for i in self.waiting if not self.not_by or self.not_by[i] != number), size))
        if not indices:
            return
        for index in indices:
            self.waiting.remove(index)
        try:
            message = pickle.dumps([self.calls[i] for i in indices], protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # whatever a column's own pickling raises
            if size > 1:
                self.waiting.extendleft(reversed(indices))
                self.most = size // 2  # until the one that cannot be sent stands alone
                return
            self.outcomes[indices[0]] = Outcome(None, "error", f"The call cannot be sent to a worker: {error}")
            return
        worker.send(message, indices)

    def _seconds_to_wait(self) -> float:
        if self.timeout is None:
            return SECONDS_BETWEEN_LOOKS
        running = [worker.since for worker in self.workers if worker.sent]
        left = min(running, default=time.monotonic()) + self.timeout - time.monotonic()
        return min(max(left, 0.0), SECONDS_BETWEEN_LOOKS)

    def _receive(self, worker: WorkerProcess) -> None:
        number = self.workers.index(worker)
        for kind, value, *rest in worker.receive():
            if kind == "started":
                continue
            if kind == "unread":
                for index in worker.sent:
                    self.outcomes[index] = Outcome(None, "error", f"The worker cannot read its call: {value}")
                worker.sent.clear()
                continue
            if not worker.sent:  # a result that nobody asked for is not the worker's own
                worker.has_ended = True
                return
            index = worker.sent.popleft()
            seconds, worker.is_full = rest
            if kind is None:
                self.outcomes[index] = Outcome(value, None, "", seconds, number, worker.is_full)
            else:
                self.outcomes[index] = Outcome(None, "error", value, seconds, None, worker.is_full)

    def _look_after(self, worker: WorkerProcess) -> None:
        """Replaces a worker that ended or takes too long; only the call it was at is lost."""
        if worker.ended:
            self._receive(worker)  # what it wrote before it ended
        seconds = time.monotonic() - worker.since
        if not worker.is_ready:
            if worker.ended or seconds > SECONDS_TO_START:
                raise WorkerError(f"A worker process could not be started: {worker.stop()}.")
            return
        if worker.is_full:  # its call has its outcome
            worker.stop()
            self._replace(worker)
            return
        if worker.ended:
            failure, message = "died", worker.stop()
        elif worker.sent and self._is_too_late(worker, seconds):
            worker.stop()
            failure, message = "timeout", f"no result after {self.timeout:g} s"
        else:
            return
        if worker.sent:
            lost = Outcome(None, failure, message, seconds, ended=True)  # type: ignore[arg-type]
            self.outcomes[worker.sent.popleft()] = lost
        self._replace(worker)

    def _is_too_late(self, worker: WorkerProcess, seconds: float) -> bool:
        if self.timeout is None:
            return False
        if self.to_load is not None and seconds <= self.to_load:
            return worker.seconds_idle() > self.timeout
        return seconds > self.timeout

    def _replace(self, worker: WorkerProcess) -> None:
        self.waiting.extendleft(reversed(worker.sent))
        self.selector.unregister(worker.results)
        worker.start()
        self.selector.register(worker.results, selectors.EVENT_READ, worker)
