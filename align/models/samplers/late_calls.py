"""Waits for answers that come late, so that what the server works on already is not asked for, and paid for, again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from align.models.samplers.sent_call import SentCall


class LateError(Exception):
    """No answer came in time, neither to a call nor to its repetition."""


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
        if pending:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
