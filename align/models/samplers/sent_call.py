"""A call on its way, and what the hooks of the HTTP client learn about it."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

_CALL: ContextVar["SentCall | None"] = ContextVar("sent_call", default=None)


class TooLargeError(Exception):
    """An answer of more bytes than allowed; what was read of it is dropped."""


class SentCall:
    """A call, which the client library may send several times.

    Args:
        send: Makes the call.

    Attributes:
        waits_since: When it was sent last, by `time.monotonic`; infinity while the library pauses as the server asked.
        is_too_large: Whether reading its answer was stopped.
        task: Gives the answer.
    """

    def __init__(self, send: Callable[[], Awaitable[Any]]) -> None:
        self.waits_since = time.monotonic()
        self.is_too_large = False
        self.task = asyncio.create_task(self._run(send))

    async def _run(self, send: Callable[[], Awaitable[Any]]) -> Any:
        _CALL.set(self)  # in the context of this task only
        try:
            answer = await send()
        except (ValueError, RecursionError) as error:  # JSON that is none, maybe because its end was not read
            if self.is_too_large:
                raise TooLargeError from error
            raise
        if self.is_too_large:
            raise TooLargeError
        return answer


async def note_sending(_request: object) -> None:
    """Starts the clock of a call; a hook for the requests of an httpx client."""
    if (call := _CALL.get()) is not None:
        call.waits_since, call.is_too_large = time.monotonic(), False


async def note_response(response: Any) -> None:
    """Stops the clock where the call may be sent again; a hook for the responses of an httpx client."""
    if (call := _CALL.get()) is not None and response.is_error:
        call.waits_since = math.inf


def note_too_large() -> None:
    """Notes that reading the answer of the present call was stopped."""
    if (call := _CALL.get()) is not None:
        call.is_too_large = True
