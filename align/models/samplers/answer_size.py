"""Stops reading an answer that grows too large, so that no server can fill the memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

from align.models.samplers.sent_call import note_too_large


def limit_answers(most: float) -> Callable[[Any], Awaitable[None]]:
    """Returns a hook for the responses of an httpx client that bounds what is read of each, errors included.

    What is too large ends early, and its call is told so: versions of the client library before 3 would send the call
    again if reading raised an error. Bytes are counted as they are sent, so the client has to ask for answers that are
    not compressed.

    Args:
        most: Bytes of a response.
    """

    async def limit(response: Any) -> None:
        # The client library brings httpx or httpx2, by its version.
        base = import_module(type(response).__module__.partition(".")[0]).AsyncByteStream
        declared = response.headers.get("content-length", "")
        is_too_large = declared.isdigit() and int(declared) > most
        response.stream = _limited(base)(response.stream, 0 if is_too_large else most)

    return limit


@lru_cache
def _limited(base: Any) -> Any:
    class LimitedStream(base):
        def __init__(self, stream: Any, most: float) -> None:
            self._stream, self._left = stream, most

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for chunk in self._stream:
                self._left -= len(chunk)
                if self._left < 0:
                    note_too_large()
                    return
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    return LimitedStream
