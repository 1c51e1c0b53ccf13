"""Waits for answers that come late, so that what the server works on already is not asked for, and paid for, again."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

_CALL: ContextVar["SentCall | None"] = ContextVar("sent_call", default=None)


class LateError(Exception):
    """No answer came in time, neither to a call nor to its repetition."""


class SentCall:
    """A call on its way, which may be sent several times by the client library.

    Args:
        send: Makes the call.
    """

    def __init__(self, send: Callable[[], Awaitable[Any]]) -> None:
        self.waits_since = time.monotonic()
        self.task = asyncio.create_task(self._run(send))

    async def _run(self, send: Callable[[], Awaitable[Any]]) -> Any:
        _CALL.set(self)  # in the context of this task only
        return await send()


async def note_sending(_request: object) -> None:
    """Starts the clock of a call; a hook for the requests of an httpx client."""
    if (call := _CALL.get()) is not None:
        call.waits_since = time.monotonic()


async def note_response(response: Any) -> None:
    """Stops the clock where the server wants to be asked later; a hook for the responses of an httpx client."""
    if (call := _CALL.get()) is not None and response.is_error:
        call.waits_since = math.inf


async def first_answer(
    send: Callable[[], Awaitable[Any]],
    *,
    timeout: float,
    patience: float,
    on_late: Callable[[], None],
    send_again: Callable[[], bool],
) -> Any:
    """Makes a call and, if nothing comes of it for long, makes it once more without hanging up on the first.

    Args:
        send: Makes the call.
        timeout: Seconds without an answer after which a call is late.
        patience: Seconds without an answer after which the call is made again.
        on_late: Called when a call is late.
        send_again: Tells, at that moment, whether it may be made again.

    Returns:
        The first answer; the other call is dropped.

    Raises:
        LateError: If both took longer than `patience`.
        Exception: What the last call that failed raised, if all did.
    """
    calls = [SentCall(send)]
    pending, is_late = {calls[0].task}, False
    try:
        while True:
            newest = calls[-1]
            left = (patience if is_late else timeout) - (time.monotonic() - newest.waits_since)
            if left > 0:
                # Not for longer than `timeout`: the client library may have started the clock anew.
                done, pending = await asyncio.wait(
                    pending, timeout=min(left, timeout), return_when=asyncio.FIRST_COMPLETED
                )
                for task in sorted(done, key=lambda task: task.exception() is not None):
                    if task.exception() is None or not pending:
                        return task.result()
                    newest.waits_since = time.monotonic()  # of two calls one is left, which gets as long again
            elif not is_late:
                is_late = True
                on_late()
            elif len(calls) == 1 and send_again():
                calls.append(SentCall(send))
                pending.add(calls[-1].task)
            else:
                raise LateError
    finally:
        for call in calls:
            call.task.cancel()
        await asyncio.gather(*(call.task for call in calls), return_exceptions=True)
