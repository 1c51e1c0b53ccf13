"""A connection that waits while nobody answers, and keeps to rates per minute."""

import asyncio
import contextlib
import logging
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from align.models.samplers.sampler import Answer, Failure, Kind, OpenConnection, Request, Sampler, SamplerError

logger = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0  # seconds between tries
_LEAST_TRY = 10.0  # seconds that the last try gets, too
_MINUTE = 60.0


class Waiting:
    """Counts the seconds in which at least one request waits; enter it for each that does.

    Attributes:
        seconds: All of them so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._num_waiting, self._since = 0, 0.0

    def __enter__(self) -> None:
        if self._num_waiting == 0:
            self._since = time.monotonic()
        self._num_waiting += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._num_waiting -= 1
        if self._num_waiting == 0:
            self.seconds += time.monotonic() - self._since


@dataclass
class _Open:
    """An open connection, how it is closed, and how many requests are on their way by it."""

    connection: OpenConnection
    stack: AsyncExitStack
    num_users: int = 0


class PatientConnection:
    """The connection of one event loop, opened anew after an outage.

    Args:
        sampler: Whom it reaches.
        rates: Most requests and tokens per minute, prompts by estimate and answers by `max_new_tokens`.
        outage_seconds: How long a server that does not answer is waited for, tries that hang included; the first try
            takes what the sampler gives it.
        waiting: Counts the seconds of both.
    """

    def __init__(
        self, sampler: Sampler, rates: tuple[float | None, float | None], outage_seconds: float, waiting: Waiting
    ) -> None:
        self._sampler, self._outage_seconds, self._waiting = sampler, outage_seconds, waiting
        self._requests, self._tokens = (None if rate is None else _limiter(rate) for rate in rates)
        self._lock = asyncio.Lock()
        self._open: _Open | None = None
        self._said = False
        self._answered = 0.0  # when anybody last was

    async def answer(self, request: Request) -> Answer | Failure:
        """Answers a request, however long nobody does, up to the limit."""
        with self._waiting:
            await self._in_turn(request)
        began, pause = time.monotonic(), _FIRST_PAUSE
        result = await self._ask(request)
        ends = max(began, self._answered) + self._outage_seconds  # it may have stood in line behind others
        while (why := _outage(result)) is not None and (left := ends - time.monotonic()) > 0:
            self._say(why)
            with self._waiting:
                await asyncio.sleep(min(pause, left))
                await self._in_turn(request)
            pause = min(2 * pause, _LONGEST_PAUSE)
            result = await self._ask_within(max(ends - time.monotonic(), _LEAST_TRY), request) or result
        if why is None:
            self._answered = time.monotonic()
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

    async def _ask_within(self, seconds: float, request: Request) -> Answer | Failure | SamplerError | None:
        """Asks, and gives up without a result; but not on a server that answers others meanwhile."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(request)
        except TimeoutError:
            return await self._ask(request) if self._answered > began else None

    async def _ask(self, request: Request) -> Answer | Failure | SamplerError:
        current = await self._connect()
        current.num_users += 1
        try:
            return await current.connection.answer(request)
        except SamplerError as error:
            if self._open is current:
                self._open = None  # the next request opens another one
            return error
        finally:
            current.num_users -= 1
            if self._open is not current and current.num_users == 0:  # closed earlier, it would fail the others
                with contextlib.suppress(SamplerError):  # the one that was just seen
                    await current.stack.aclose()

    async def _connect(self) -> "_Open":
        async with self._lock:
            if self._open is None:
                stack = AsyncExitStack()
                self._open = _Open(await stack.enter_async_context(self._sampler.connect()), stack)
            return self._open

    def _say(self, why: str) -> None:
        if not self._said:
            logger.warning("The judge does not answer, and is waited for up to %.0f s: %s", self._outage_seconds, why)
        self._said = True


def _limiter(rate: float) -> Any:
    from aiolimiter import AsyncLimiter

    return AsyncLimiter(rate, _MINUTE)


def _outage(result: Answer | Failure | SamplerError) -> str | None:
    """Says why nobody answers, if that can pass; a key that is refused does not, nor an answer that is none."""
    if isinstance(result, Failure):
        return result.reason if result.kind is Kind.PASSING else None
    return str(result) if isinstance(result, SamplerError) and result.may_pass else None
