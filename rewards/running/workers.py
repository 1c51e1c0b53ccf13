"""Worker processes that can be killed: a call that hangs, dies or eats memory costs its own result only."""

import pickle
import selectors
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from rewards.running.worker_process import WorkerError, WorkerProcess

Failure = Literal["error", "timeout", "died"]
SECONDS_TO_START = 300.0  # loading a function may import a large library from a slow disk
SECONDS_BETWEEN_LOOKS = 0.5  # at workers whose pipe a child of theirs keeps open
SECONDS_PER_MESSAGE = 0.001  # of work, at least, if calls are that quick: a message costs a tenth of it


class Outcome(NamedTuple):
    """What became of one call.

    Attributes:
        value: What the function returned; None after a failure.
        failure: None, `error` (it raised), `timeout`, or `died` (its process ended).
        message: What was raised or how the process ended; empty without a failure.
        seconds: How long the call ran.
        worker: Number of the worker that returned.
        ended: Whether its process is gone with it, and what that held: it died, was stopped, or has no memory left.
    """

    value: Any
    failure: Failure | None = None
    message: str = ""
    seconds: float = 0.0
    worker: int | None = None
    ended: bool = False


class WorkerPool:
    """Calls a function in worker processes, each call within a time limit.

    Workers are fresh interpreters, so threads, CUDA and open sockets of this process are none of their business; they
    have its environment (without the variables of a distributed launch), its `sys.path` and its working folder. They
    end with this process, also when it is killed, and take the processes they started with them. `hash` gives the same
    in all of them. A worker that ran out of memory is replaced. May be used from any thread; `map` runs one at a time.

    Compared on 100 short calls with a limit each, with 1 and 4 workers: pebble 5.2.3 loses one call as well, but takes
    4 to 6 times as long (in chunks 1.2 to 2 times, and a failure then costs a chunk), limits no memory, and leaves
    running what a killed call had started. mpire 2.10.2 (8 to 13 times) ends the batch at a hung or dead call. loky
    3.7.0 (7 to 10 times), like the standard library, ends no hung call and loses all pending ones when a worker dies.

    Args:
        func: A function of one argument that can be pickled and found by a fresh interpreter.
        workers: Number of processes.
        timeout: Seconds for one call, from the moment it starts; None sets no limit.
        memory_gb: Limit of a worker's address space in GiB; above it the call gets a `MemoryError`.
        output: File descriptor for what they write to standard output and standard error; None is this process's own.

    Raises:
        WorkerError: If `func` cannot be pickled, or a worker cannot load it.

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
        self._finalizer = weakref.finalize(self, _close, self._workers)

    def __enter__(self) -> "WorkerPool":
        """Returns the pool."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Ends the workers."""
        self.close()

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
        """Calls the function on each item.

        Args:
            calls: What the function gets, one item per call.
            timeout: Seconds for one call; None is the pool's own limit.
            to_load: Seconds for a call that goes on reading files; the limit then holds from the last one it read.
            not_by: For each call the number of a worker that it is not for, where there is another one.

        Returns:
            One outcome per item, in order.

        Raises:
            WorkerError: If a worker cannot load the function.
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


class _Round:
    """One `map`: which calls are still to be sent, and what came back."""

    def __init__(
        self,
        workers: list[WorkerProcess],
        calls: Sequence[Any],
        timeout: float | None,
        mean_seconds: float,
        to_load: float | None,
        not_by: Sequence[int | None] = (),
    ) -> None:
        self.workers = workers
        self.not_by = not_by
        self.calls = calls
        self.timeout = timeout
        self.to_load = to_load
        self.least_size = int(SECONDS_PER_MESSAGE / max(mean_seconds, 1e-6))
        self.most = max(1, len(calls))  # calls in a message
        self.waiting = deque(range(len(calls)))
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
        indices = self._take(self.workers.index(worker), size)
        if not indices:
            return
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

    def _take(self, worker: int, size: int) -> list[int]:
        """Takes the first waiting calls that are for a worker."""
        if not self.not_by:
            return [self.waiting.popleft() for _ in range(size)]
        indices = [index for index in self.waiting if self.not_by[index] != worker][:size]
        for index in indices:
            self.waiting.remove(index)
        return indices

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


def _close(workers: list[WorkerProcess]) -> None:
    for worker in workers:
        worker.stop()
