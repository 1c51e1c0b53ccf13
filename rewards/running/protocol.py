"""The reward-function contract of TRL 1.16, in one place.

TRL calls a reward with keyword arguments only: `prompts`, `completions`, `completion_ids`, every column of the data
set (a list with one value per completion), `trainer_state`, `log_extra(column, values)` and `log_metric(name, value)`.
It expects one number per completion; None means that the reward has nothing to say about that row.
"""

import functools
import inspect
import os
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rewards.running.worker import end_if_copied

if TYPE_CHECKING:  # a worker whose rewards await nothing does without
    import asyncio

CALL_ARGUMENTS = ("prompts", "completions", "completion_ids")
TRAINER_ARGUMENTS = ("trainer_state", "log_extra", "log_metric")
HIGHER, LOWER, NEITHER = SIDES = ("higher", "lower", "neither")  # of values, where they are better


class RewardFunction(Protocol):
    """What TRL calls as a reward. A coroutine function (or an object with an async `__call__`) may be used too."""

    __name__: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Scores completions: one number or None for each, as a list."""


def reward_name(func: Callable[..., Any]) -> str:
    """Names a reward as in logs: its `__name__`, or that of its class."""
    return str(getattr(func, "__name__", type(func).__name__))


def is_async(func: Callable[..., Any]) -> bool:
    """Tells whether calling a reward gives a coroutine."""
    while isinstance(func, functools.partial):
        func = func.func
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(func.__call__)  # type: ignore[operator]


def reads_whole_batch(func: Callable[..., Any]) -> bool:
    """Tells whether a reward compares the rows of a batch, as it says by an attribute, `whole_batch = True`."""
    return bool(getattr(func, "whole_batch", False))


def renders_messages(func: Callable[..., Any]) -> bool:
    """Tells whether a reward renders messages by a chat template, as it says, `renders_messages = True`."""
    return bool(getattr(func, "renders_messages", False))


def asks_a_model(func: Any) -> bool:
    """Tells whether each call of a reward is paid for, or waited for.

    Such a reward says so with an attribute, `asks_a_model = True`, and is tried in one call before training; it may
    have `for_trial()`, which returns it without its patience, and `take_spending()`, which says what it has asked.
    """
    return bool(getattr(func, "asks_a_model", False))


def is_audit_only(func: Callable[..., Any]) -> bool:
    """Tells whether a reward is a monitor, which is logged and never trained on; it says so, `audit_only = True`."""
    return bool(getattr(func, "audit_only", False))


def is_about_form(func: Callable[..., Any]) -> bool:
    """Tells whether a reward pays for the form of a response and nothing else, as it says, `about_form = True`."""
    return bool(getattr(func, "about_form", False))


def better_side(func: Callable[..., Any], *, is_audit: bool = False) -> str:
    """Tells which values of a reward are better, one of `SIDES`; it may say so, `better = "lower"`.

    Of one that does not say so higher ones are, which are paid; of a monitor, or another audit, nobody knows.

    Example:
        >>> from rewards.scoring.manipulation import manipulation
        >>> better_side(manipulation, is_audit=True), better_side(len), better_side(len, is_audit=True)
        ('lower', 'higher', 'neither')
    """
    said = getattr(func, "better", None)
    if isinstance(said, str) and said in SIDES:
        return said
    return NEITHER if is_audit or is_audit_only(func) else HIGHER


T = TypeVar("T")

_loops: dict[int, "asyncio.AbstractEventLoop"] = {}  # by process: a forked one has the loop, and not its thread


def result_of(awaitable: Awaitable[T]) -> T:
    """Awaits in this process's own loop, which another thread runs; a forked copy that comes back, too, ends."""
    import asyncio

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


def own_loop() -> "asyncio.AbstractEventLoop":
    """Returns the loop of this process, which begins to run when it is first asked for."""
    import asyncio

    if os.getpid() not in _loops:
        _loops[os.getpid()] = asyncio.new_event_loop()
        threading.Thread(target=_run, args=[_loops[os.getpid()]], name="rewards", daemon=True).start()
    return _loops[os.getpid()]


def _run(loop: "asyncio.AbstractEventLoop") -> None:
    while not loop.is_closed():
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):  # a reward's; it is raised where the reward is waited for
            continue
