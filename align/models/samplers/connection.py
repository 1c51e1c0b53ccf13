import asyncio
import logging
import math
import time
from collections import Counter
from functools import partial

from align.console import say
from align.models.samplers.chat_calls import Address, ChatCalls, write_request
from align.models.samplers.limits import Limits, Rate, Trouble, Waiting, Why, pause_before
from align.models.samplers.sampler import NO_IMAGE, Answer, Failure, Kind, Request, SamplerError

logger = logging.getLogger(__name__)
FAILURES_IN_A_ROW = 20  # without one answer between them, nobody will answer the rest either
LEAST_TRY = 10.0  # seconds that a try gets at least while nobody answers


class Connection:
    """Sends requests as chat completions, some at once; leave it as a context to close it."""

    def __init__(
        self, address: Address, limits: Limits, concurrency: int, troubles: Counter[str], waiting: Waiting
    ) -> None:
        self._address, self._limits = address, limits
        self._troubles, self._waiting = troubles, waiting
        self._calls = ChatCalls(address, limits.timeout)
        self._free = asyncio.Semaphore(concurrency)
        self._requests, self._tokens = Rate(limits.requests_per_minute), Rate(limits.tokens_per_minute)
        self._accepted: float | None = None  # when the last call was sent that was answered
        self._answered = 0.0  # when anybody last was, be it with an error of the request's own
        self._failures_in_a_row = 0
        self._said_key = self._said_outage = False
        self._stopped: SamplerError | None = None

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        await self._calls.close()
        if self._stopped is not None and kind is None:
            raise self._stopped

    async def answer(self, request: Request) -> Answer | Failure:
        """Answers one request, or raises `SamplerError` where nobody will answer this or any other."""
        with self._waiting:
            await self._requests.take(1)
            await self._tokens.take(request.estimated_tokens + request.max_new_tokens)
        began = time.monotonic()
        async with self._free:
            result = self._stopped or await self._try(request, began)
        if isinstance(result, SamplerError):
            raise result
        self._count(result)
        return result

    async def _try(self, request: Request, began: float) -> Answer | Failure | SamplerError:
        try:
            write = partial(write_request, self._address, request)
            body = await asyncio.to_thread(write) if request.images else write()
        except OSError as error:
            return Failure(NO_IMAGE, str(error))
        result = await self._call(body, began)
        return result if isinstance(result, Answer) else await self._judge(result)

    def _left(self, began: float) -> float:
        """Counts the seconds that an outage has; a request may have stood in line while others were answered."""
        return max(began, self._answered) + self._limits.outage_seconds - time.monotonic()

    async def _call(self, body: bytes, began: float) -> Answer | Trouble:
        tries, first_refusal, seconds = 0, math.inf, self._limits.timeout
        while True:
            sent = time.monotonic()
            result = await self._calls.post(body, seconds)
            if isinstance(result, Answer):
                self._accepted = max(sent, self._accepted or sent)
                self._answered, self._said_outage = time.monotonic(), False
                return result
            if is_key := result.why is Why.KEY:
                first_refusal = min(first_refusal, time.monotonic())
            is_out = result.failure.kind is Kind.PASSING
            if not is_out:
                self._answered = time.monotonic()
            left = self._left(began) if is_out and self._limits.outage_seconds else 0.0
            pause = pause_before(result, tries, self._limits.max_retries, left)
            if pause is None or (is_key and self._accepted is None):
                # The server refuses this call, and not the key, if it answered another meanwhile.
                alone = is_key and (self._accepted or 0.0) > first_refusal
                return Trouble(result.failure, status=result.status) if alone else result
            if is_key and not self._said_key:
                self._said_key, at = True, f"{self._address.shown} answered {result.status}"
                say(f"{at} to a key that it had accepted before. Calls are made again.")
            if left > 0 and not self._said_outage:
                self._said_outage, most, why = True, self._limits.outage_seconds, result.failure.reason
                logger.warning("The judge does not answer, and is waited for up to %.0f s: %s", most, why)
            with self._waiting:
                await asyncio.sleep(pause)
            if is_key and self._stopped is not None:
                return result
            if result.why in (Why.KEY, Why.NO_ANSWER):
                self._troubles[f"calls made again: {result.failure.reason}"] += 1
            if left > 0:
                seconds = min(self._limits.timeout, max(self._left(began), LEAST_TRY))
            tries += 1

    async def _judge(self, trouble: Trouble) -> Failure | SamplerError:
        """Decides whether what retries did not mend concerns one request or all of them."""
        status, address, failure = trouble.status, self._address, trouble.failure
        if trouble.why is Why.KEY and self._accepted is None:
            held = "holds a key that is refused" if address.key else "is not set"
            return self._stop(f"{address.shown} answered {status}: the variable {address.key_variable} {held}.")
        if trouble.why is Why.KEY:
            return self._stop(
                f"{address.shown} goes on to answer {status} to a key that it had accepted: check the one in the "
                f"variable {address.key_variable}."
            )
        if status == 404:
            served = await self._calls.list_models()
            return self._stop(f"{address.shown} answered 404 for the model {address.model!r}. {served}")
        if trouble.why is Why.NETWORK and self._accepted is None:
            sentence = f"Nothing answers at {address.shown} ({failure.detail}). Start the server, or check `endpoint`."
            return self._stop(sentence, may_pass=True)
        return failure

    def _count(self, result: Answer | Failure) -> None:
        if isinstance(result, Answer):
            self._failures_in_a_row = 0
            return
        if self._accepted is not None and result.kind is Kind.REFUSED:
            return
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= FAILURES_IN_A_ROW:
            reason = f"{result.reason} ({result.detail})" if result.detail else result.reason
            sentence = f"{self._failures_in_a_row} requests in a row failed, the last one because {reason}."
            self._stop(sentence, may_pass=True)

    def _stop(self, sentence: str, *, may_pass: bool = False) -> SamplerError:
        """Refuses every further request, unless outages are waited for and this is one; the first reason counts."""
        error = self._stopped or SamplerError(f"{sentence} What was answered is kept: run the same command to go on.")
        if not (may_pass and self._limits.outage_seconds):
            self._stopped = error
        return error
