"""Stops reading an answer that grows too large, so that no server can fill the memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from importlib import import_module
from typing import Any


class TooLargeError(Exception):
    """An answer of more bytes than allowed; what was read of it is dropped, and its connection closed."""


def limit_answers(most: float) -> Callable[[Any], Awaitable[None]]:
    """Returns a hook for the responses of an httpx client that bounds what is read of each, errors included.

    Bytes are counted as they are sent, so the client has to ask for answers that are not compressed.

    Args:
        most: Bytes of a response.
    """

    async def limit(response: Any) -> None:
        declared = response.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > most:
            raise TooLargeError
        # The client library brings httpx or httpx2, by its version.
        base = import_module(type(response).__module__.partition(".")[0]).AsyncByteStream
        response.stream = _limited(base)(response.stream, most)

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
                    raise TooLargeError
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    return LimitedStream
