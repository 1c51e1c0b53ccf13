"""Divides work on many rows over the cores of this machine: by copies of this process, with results in order."""

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from threading import Thread
from typing import Any, TypeVar

from align.errors import DataError

AHEAD = 2  # tasks that each process has waiting
MOST = 8  # processes; more of them would wait for the one that takes their results

T = TypeVar("T")
R = TypeVar("R")

_work: Callable[[Any], Any]  # of a copy: what it was made for


def core_count() -> int:
    """Counts the processes that may share work here; one where a copy of this process could hang."""
    torch = sys.modules.get("torch")
    if sys.platform != "linux" or (torch is not None and torch.cuda.is_initialized()):
        return 1
    ours = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
    return min(max(ours, 1), MOST)


def map_in_order(work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
    """Applies a function to tasks, several at once where there are cores, and yields the results in order.

    The copies are made at the first task and know what this process knows then. What the function changes, it changes
    in its copy. Tasks, results and errors are pickled.
    """
    processes = core_count()
    if processes == 1:
        yield from map(work, tasks)
        return
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), _begin, (work,))
    waiting: deque[Future[R]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(_apply, task))
            if len(waiting) > AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise DataError(
            f"One of the {processes} processes that read rows was ended from outside, as happens where memory runs "
            "out. Give the machine more, or use one core: `taskset -c 0 align ...`."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process ends the others
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_the_first, daemon=True).start()


def _end_with_the_first() -> None:
    """Ends a copy whose first process was killed: the queues that it waits at are held open by the other copies."""
    first = multiprocessing.parent_process()
    if first is not None:
        wait([first.sentinel])
        os._exit(1)


def _apply(task: Any) -> Any:
    return _work(task)
