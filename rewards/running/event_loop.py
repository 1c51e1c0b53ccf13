"""One event loop per process for rewards that are awaited: their clients and semaphores are bound to a loop."""

import asyncio
import os
import threading
from collections.abc import Awaitable
from typing import TypeVar

from rewards.running.worker import end_if_copied

T = TypeVar("T")

_loops: dict[int, asyncio.AbstractEventLoop] = {}  # by process: a forked one has the loop, and not its thread


def result_of(awaitable: Awaitable[T]) -> T:
    """Awaits in this process's own loop, which another thread runs.

    A forked copy of this process in which the awaited comes back, too, ends.
    """
    future = asyncio.run_coroutine_threadsafe(_once(awaitable, os.getpid()), own_loop())
    try:
        return future.result()
    finally:
        future.cancel()  # where the wait was interrupted


async def _once(awaitable: Awaitable[T], owner: int) -> T:
    try:
        return await awaitable
    finally:
        end_if_copied(owner)


def own_loop() -> asyncio.AbstractEventLoop:
    """Returns the loop of this process, which begins to run when it is first asked for."""
    if os.getpid() not in _loops:
        _loops[os.getpid()] = asyncio.new_event_loop()
        threading.Thread(target=_run, args=[_loops[os.getpid()]], name="rewards", daemon=True).start()
    return _loops[os.getpid()]


def _run(loop: asyncio.AbstractEventLoop) -> None:
    while not loop.is_closed():
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):  # a reward's; it is raised where the reward is waited for
            continue
