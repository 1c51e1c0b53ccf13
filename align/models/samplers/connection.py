from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx

from align.console import say
from align.data.conversations import put_images_in
from align.models.samplers.input_images import data_url
from align.models.samplers.limits import Limits, Rate, Trouble, Waiting, Why, asked_pause, pause_before
from align.models.samplers.sampler import NO_IMAGE, Answer, Failure, Kind, Request, SamplerError

if TYPE_CHECKING:
    from align.models.samplers.endpoint import Address

logger = logging.getLogger(__name__)
FAILURES_IN_A_ROW = 20  # without one answer between them, nobody will answer the rest either
KEY_REFUSED = (401, 403)
OF_ONE_REQUEST = (400, 413, 422, *KEY_REFUSED)  # too long, say
TOO_MANY, OF_SERVER = 429, 500  # and all above
AGAIN = (408, 409, TOO_MANY)  # and all of the server: a request that timed out, a lock, too many
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0  # seconds between tries while nobody answers
LEAST_TRY = 10.0  # seconds that the last of them gets, too
NO_COMPLETION, NO_CONTENT = "the server sent no chat completion", "the answer has no content"
MOST_CONNECTIONS, SECONDS_TO_CONNECT = 1000, 60.0
MOST_MEGABYTES = 4.0  # of an answer; reading stops there
MOST_TOKENS = 10_000_000  # that a server can have counted
OF_ACCOUNT = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}  # headers, by variable


class Connection:
    """Sends requests as chat completions, some at once; leave it as a context to close it."""

    def __init__(
        self,
        address: Address,
        limits: Limits,
        *,
        concurrency: int,
        troubles: Counter[str],
        waiting: Waiting,
    ) -> None:
        self._address, self._limits = address, limits
        self._troubles, self._waiting = troubles, waiting
        account = {header: os.environ[name] for header, name in OF_ACCOUNT.items() if os.environ.get(name)}
        self._client = httpx.AsyncClient(
            base_url=address.url,
            headers={
                "Authorization": f"Bearer {address.key or 'EMPTY'}",
                "Accept-Encoding": "identity",  # a small compressed answer may be large
                "User-Agent": "truealign",
                **account,
            },
            timeout=httpx.Timeout(None, connect=min(SECONDS_TO_CONNECT, limits.timeout)),
            limits=httpx.Limits(max_connections=MOST_CONNECTIONS),
            follow_redirects=True,
        )
        self._free = asyncio.Semaphore(concurrency)
        self._requests, self._tokens = Rate(limits.requests_per_minute), Rate(limits.tokens_per_minute)
        self._accepted: float | None = None  # when the last call was sent that was answered
        self._answered = 0.0  # when anybody last was, be it with an error of the request's own
        self._failures_in_a_row = 0
        self._said_key = self._said_outage = False
        self._stopped: SamplerError | None = None

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        await self._client.aclose()
        if self._stopped is not None and kind is None:
            raise self._stopped

    async def answer(self, request: Request) -> Answer | Failure:
        """Answers one request, or raises `SamplerError` once nobody did for `outage_seconds`."""
        await self._in_turn(request)
        began, pause = time.monotonic(), FIRST_PAUSE
        result = await self._ask(request)
        ends = max(began, self._answered) + self._limits.outage_seconds  # it may have stood in line behind others
        while (why := _outage(result)) is not None and (left := ends - time.monotonic()) > 0:
            self._say_outage(why)
            with self._waiting:
                await asyncio.sleep(min(pause, left))
            await self._in_turn(request)
            pause = min(2 * pause, LONGEST_PAUSE)
            if self._stopped is not None and self._stopped.may_pass:  # by an outage, which may be over
                self._stopped, self._accepted, self._failures_in_a_row = None, None, 0
            result = await self._ask_within(max(ends - time.monotonic(), LEAST_TRY), request) or result
        if why is None:
            self._answered = time.monotonic()
        if isinstance(result, SamplerError):
            raise result
        self._said_outage = False
        return result

    async def _in_turn(self, request: Request) -> None:
        with self._waiting:
            await self._requests.take(1)
            await self._tokens.take(request.estimated_tokens + request.max_new_tokens)

    async def _ask_within(self, seconds: float, request: Request) -> Answer | Failure | SamplerError | None:
        """Asks, and gives up without a result; but not on a server that answers others meanwhile."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(request)
        except TimeoutError:
            return await self._ask(request) if self._answered > began else None

    async def _ask(self, request: Request) -> Answer | Failure | SamplerError:
        async with self._free:
            result = self._stopped or await self._try(request)
        if not isinstance(result, SamplerError):
            self._count(result)
        return result

    async def _try(self, request: Request) -> Answer | Failure | SamplerError:
        try:
            messages = await asyncio.to_thread(_with_images, request) if request.images else request.messages
        except OSError as error:
            return Failure(NO_IMAGE, str(error))
        body = {
            "model": self._address.model,
            "messages": messages,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_new_tokens,
            "seed": request.seed,
        } | ({"tools": list(request.tools)} if request.tools else {})
        result = await self._call(json.dumps(body).encode())
        if isinstance(result, Answer):
            calls = tuple(json.loads(self._address.hide_key_in_answer(json.dumps(result.calls))))
            return result._replace(text=self._address.hide_key_in_answer(result.text), calls=calls)
        return await self._judge(result)

    async def _call(self, body: bytes) -> Answer | Trouble:
        tries, first_refusal = 0, math.inf
        while True:
            sent = time.monotonic()
            result = await self._post(body)
            if isinstance(result, Answer):
                self._accepted = max(sent, self._accepted or sent)
                return result
            if is_key := result.why is Why.KEY:
                first_refusal = min(first_refusal, time.monotonic())
            pause = pause_before(result, tries, self._limits.max_retries)
            if pause is None or (is_key and self._accepted is None):
                # The server refuses this call, and not the key, if it answered another meanwhile.
                alone = is_key and (self._accepted or 0.0) > first_refusal
                return Trouble(result.failure, status=result.status) if alone else result
            if is_key:
                self._say_key(result.status)
            await asyncio.sleep(pause)
            if is_key and self._stopped is not None:
                return result
            if result.why in (Why.KEY, Why.NO_ANSWER):
                self._troubles[f"calls made again: {result.failure.reason}"] += 1
            tries += 1

    async def _post(self, body: bytes) -> Answer | Trouble:
        limits, content = self._limits, bytearray()
        most, headers = MOST_MEGABYTES * 1e6, {"Content-Type": "application/json"}
        ask = self._client.stream("POST", "chat/completions", content=body, headers=headers)
        try:
            async with asyncio.timeout(limits.timeout), ask as response:
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > most:
                        break
        except TimeoutError:
            failure = Failure(f"no answer within {limits.timeout:g} s", kind=Kind.PASSING)
            return Trouble(failure, Why.NO_ANSWER)
        except httpx.TimeoutException:
            return Trouble(Failure("no connection in time", kind=Kind.PASSING), Why.SERVER)
        except httpx.HTTPError as error:
            cause = self._address.hide_key(error.__cause__ or error)
            return Trouble(Failure("the connection was lost", cause, Kind.PASSING), Why.NETWORK)
        if response.status_code >= 400:
            return self._refusal(response, bytes(content))
        if len(content) > most:
            return Trouble(Failure(f"the answer is larger than {MOST_MEGABYTES:g} MB"), Why.NO_ANSWER)
        completion = read_completion(bytes(content))
        return completion if isinstance(completion, Answer) else Trouble(Failure(completion), Why.NO_ANSWER)

    def _refusal(self, response: httpx.Response, content: bytes) -> Trouble:
        status, get = response.status_code, response.headers.get
        kind = Kind.PASSING if status == TOO_MANY or status >= OF_SERVER else Kind.OTHER
        kind = Kind.REFUSED if status in OF_ONE_REQUEST else kind
        again = Why.SERVER if status in AGAIN or status >= OF_SERVER else Why.NOTHING
        again = Why.KEY if status in KEY_REFUSED else again
        failure = Failure(f"the server answered {status}", self._address.hide_key(_message(status, content)), kind)
        return Trouble(failure, again, status, asked_pause(get("retry-after-ms", ""), get("retry-after", "")))

    def _say_key(self, status: int) -> None:
        if not self._said_key:
            say(f"{self._address.shown} answered {status} to a key that it had accepted before. Calls are made again.")
        self._said_key = True

    def _say_outage(self, why: str) -> None:
        if not self._said_outage:
            most = self._limits.outage_seconds
            logger.warning("The judge does not answer, and is waited for up to %.0f s: %s", most, why)
        self._said_outage = True

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
            served = await self._list_models()
            return self._stop(f"{address.shown} answered 404 for the model {address.model!r}. {served}")
        if trouble.why is Why.NETWORK and self._accepted is None:
            sentence = f"Nothing answers at {address.shown} ({failure.detail}). Start the server, or check `endpoint`."
            return self._stop(sentence, may_pass=True)
        return failure

    async def _list_models(self) -> str:
        try:
            listed = (await self._client.get("models", timeout=self._limits.timeout)).json()
            names = sorted(str(model["id"]) for model in listed["data"])
        except (httpx.HTTPError, ValueError, LookupError, TypeError):
            return "Check `model`, and that `endpoint` ends as the server wants it (often in /v1)."
        return f"It serves: {', '.join(names)}. Set `model`."

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
        """Refuses every further request; the first reason counts."""
        if self._stopped is None:
            kept = "What was answered is kept: run the same command to go on."
            self._stopped = SamplerError(f"{sentence} {kept}", may_pass=may_pass)
        return self._stopped


def read_completion(content: bytes) -> Answer | str:
    """Reads an answer, cut off if its tokens ran out, or says why it is none: a proxy's page, no content."""
    try:
        completion = json.loads(content)
    except (ValueError, RecursionError):
        return NO_COMPLETION
    choices = _get(completion, "choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = _get(first, "message")
    text = _get(message, "content")
    if not isinstance(message, dict) or not isinstance(text, str | None):
        return NO_COMPLETION
    cut_off = _get(first, "finish_reason") == "length"
    try:
        calls = json.loads(json.dumps(_get(message, "tool_calls") or [], ensure_ascii=False).encode(errors="replace"))
    except RecursionError:
        return NO_COMPLETION
    if not isinstance(calls, list) or not all(isinstance(_get(each, "function"), dict) for each in calls):
        return NO_COMPLETION
    if text is None and not cut_off and not calls:
        return NO_CONTENT
    usage = _get(completion, "usage")
    return Answer(
        text=(text or "").encode(errors="replace").decode(),  # half a surrogate pair could not be written to a file
        cut_off=cut_off,
        prompt_tokens=_tokens(usage, "prompt_tokens"),
        completion_tokens=_tokens(usage, "completion_tokens"),
        calls=tuple(calls),
    )


def _tokens(usage: object, key: str) -> int:
    """Reads a number of tokens; 0 where a server says none, or one that no window has."""
    found = _get(usage, key)
    return found if type(found) is int and 0 <= found <= MOST_TOKENS else 0


def _get(content: object, key: str) -> Any:
    return content.get(key) if isinstance(content, dict) else None


def _message(status: int, content: bytes) -> str:
    """Says what the server did of an error: its message, as servers of this kind word it, or its status alone."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    message = _get(_get(body, "error") or body, "message")
    return f"Error code: {status} - {message}" if isinstance(message, str) and message else f"Error code: {status}"


def _outage(result: Answer | Failure | SamplerError) -> str | None:
    """Says why nobody answers, if that can pass; a key that is refused does not, nor an answer that is none."""
    if isinstance(result, Failure):
        return result.reason if result.kind is Kind.PASSING else None
    return str(result) if isinstance(result, SamplerError) and result.may_pass else None


def _with_images(request: Request) -> list[dict[str, Any]]:
    parts = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in request.images]
    return put_images_in(request.messages, parts)
