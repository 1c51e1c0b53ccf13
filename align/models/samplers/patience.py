"""A connection that waits while nobody answers, and keeps to rates per minute."""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from align.models.samplers.endpoint import EndpointSampler
from align.models.samplers.sampler import Answer, Failure, Request, SamplerError

if TYPE_CHECKING:
    from align.models.samplers.connection import Connection

logger = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0  # seconds between tries
_MINUTE = 60.0
_PASSING = (
    "the connection was lost",
    "no connection",
    "no answer",
    "the server answered 5",
    "the server answered 429",
)


class PatientConnection:
    """The connection of one event loop, opened anew after an outage.

    Args:
        sampler: Whom it reaches.
        rates: Most requests and tokens per minute, prompts by estimate and answers by `max_new_tokens`.
        outage_seconds: How long a server that does not answer is waited for.
    """

    def __init__(
        self, sampler: EndpointSampler, rates: tuple[float | None, float | None], outage_seconds: float
    ) -> None:
        from aiolimiter import AsyncLimiter

        self._sampler, self._outage_seconds = sampler, outage_seconds
        self._requests, self._tokens = (None if rate is None else AsyncLimiter(rate, _MINUTE) for rate in rates)
        self._open, self._stack = asyncio.Lock(), AsyncExitStack()
        self._connection: Connection | None = None
        self._said = False

    async def answer(self, request: Request) -> Answer | Failure:
        """Answers a request, however long nobody does, up to the limit."""
        pause, waited = _FIRST_PAUSE, 0.0
        while True:
            await self._in_turn(request)
            connection = await self._connect()
            try:
                result: Answer | Failure | SamplerError = await connection.answer(request)
            except SamplerError as error:
                await self._drop(connection)
                result = error
            why = _outage(result)
            if why is None or waited >= self._outage_seconds:
                break
            self._say(why)
            await asyncio.sleep(min(pause, self._outage_seconds - waited))
            pause, waited = min(2 * pause, _LONGEST_PAUSE), waited + pause
        if isinstance(result, SamplerError):
            raise result
        self._said = False
        return result

    async def _in_turn(self, request: Request) -> None:
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            tokens = request.estimated_tokens + request.max_new_tokens
            await self._tokens.acquire(min(tokens, self._tokens.max_rate))

    async def _connect(self) -> "Connection":
        async with self._open:
            if self._connection is None:
                self._connection = await self._stack.enter_async_context(self._sampler.connect())
            return self._connection

    async def _drop(self, connection: "Connection") -> None:
        async with self._open:
            if self._connection is connection:
                self._connection, stack, self._stack = None, self._stack, AsyncExitStack()
                try:
                    await stack.aclose()
                except SamplerError:  # the one that was just seen
                    return

    def _say(self, why: str) -> None:
        if not self._said:
            logger.warning("The judge does not answer, and is waited for up to %.0f s: %s", self._outage_seconds, why)
        self._said = True


def _outage(result: Answer | Failure | SamplerError) -> str | None:
    """Says why nobody answers, if that can pass; a key that is refused does not, nor an answer that is none."""
    if isinstance(result, Failure):
        return result.reason if result.reason.startswith(_PASSING) else None
    if isinstance(result, SamplerError) and ("Nothing answers at" in str(result) or "in a row failed" in str(result)):
        return str(result)
    return None
