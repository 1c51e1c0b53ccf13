"""An open connection to an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from align.console import say
from align.data.conversations import put_images_in
from align.models.samplers.cache import answer_key
from align.models.samplers.input_images import data_url
from align.models.samplers.late_calls import LateError, first_answer
from align.models.samplers.limits import Limits
from align.models.samplers.sampler import NO_IMAGE, Answer, Failure, Kind, Request, SamplerError
from align.models.samplers.sent_call import TooLargeError

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError, AsyncOpenAI

    from align.models.samplers.endpoint import Address

REFUSED = (401, 403)
FAILURES_IN_A_ROW = 20  # without one answer between them, nobody will answer the rest either
OF_ONE_REQUEST = (400, 413, 422, *REFUSED)  # too long, say
TOO_MANY, OF_SERVER = 429, 500  # and all above
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds; each is twice the one before
TRIES_OF_ONE = 5  # of a call that is refused while others are answered
NO_COMPLETION, NO_CONTENT = "the server sent no chat completion", "the answer has no content"


class RefusedCall:
    """A call between its refusals.

    Args:
        limit: Seconds after the first refusal in which it is tried on.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._first = 0.0
        self._num_pauses = 0

    def is_alone(self, accepted: float) -> bool:
        """Tells whether the server refuses this call and not the key.

        Args:
            accepted: When the last call was sent that was answered, by `time.monotonic`.
        """
        return self._num_pauses > 0 and accepted > self._first

    async def pause(self, accepted: float) -> bool:
        """Waits until the call may be sent again; returns False if it was tried for long enough."""
        now = time.monotonic()
        if self._num_pauses == 0:
            self._first = now
        left = self._first + self._limit - now
        if left <= 0 or (self.is_alone(accepted) and self._num_pauses >= TRIES_OF_ONE):
            return False
        await asyncio.sleep(min(FIRST_PAUSE * 2**self._num_pauses, LONGEST_PAUSE, left))
        self._num_pauses += 1
        return True


def read_completion(completion: object) -> Answer | str:
    """Reads an answer, or says why it is none: a proxy's page, another JSON, no content.

    One whose content ran out of tokens before it began, as models that think do, is cut off.
    """
    choices = _get(completion, "choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = _get(first, "message")
    text = _get(message, "content")
    if not isinstance(message, dict) or not isinstance(text, str | None):
        return NO_COMPLETION
    cut_off = _get(first, "finish_reason") == "length"
    if text is None and not cut_off:
        return NO_CONTENT
    usage = _get(completion, "usage")
    return Answer(
        text=(text or "").encode(errors="replace").decode(),  # half a surrogate pair could not be written to a file
        cut_off=cut_off,
        prompt_tokens=_get(usage, "prompt_tokens") or 0,
        completion_tokens=_get(usage, "completion_tokens") or 0,
    )


def _get(content: object, key: str) -> Any:
    return content.get(key) if isinstance(content, dict) else None


class Connection:
    """Sends requests as chat completions, some at once.

    Args:
        client: What sends them, and tries errors of the server again.
        address: Whom they go to.
        limits: How long is waited and how often asked.
        concurrency: Requests on their way at once.
        idempotency_header: Gets a name of what is asked, the same when a call is made again; none if empty.
        troubles: Counts what was asked again, and why.
    """

    def __init__(
        self,
        client: AsyncOpenAI,
        address: Address,
        limits: Limits,
        *,
        concurrency: int,
        idempotency_header: str,
        troubles: Counter[str],
    ) -> None:
        import openai

        self._openai = openai
        self._client, self._address, self._limits = client, address, limits
        self._idempotency_header, self._troubles = idempotency_header, troubles
        self._free = asyncio.Semaphore(concurrency)
        self._accepted: float | None = None  # when the last call was sent that was answered
        self._failures_in_a_row = 0
        self._said: set[str] = set()
        self.stopped: SamplerError | None = None

    async def answer(self, request: Request) -> Answer | Failure:
        """Answers one request.

        Raises:
            SamplerError: If nobody will answer this or any other request.
        """
        async with self._free:
            if self.stopped is not None:
                raise self.stopped
            result = await self._try(request)
        self._count(result)
        return result

    async def _try(self, request: Request) -> Answer | Failure:
        refused = RefusedCall(self._limits.refusal_timeout)
        while True:
            try:
                return await self._complete(request)
            except OSError as error:  # the client has its own for the network
                return Failure(NO_IMAGE, str(error))
            except LateError:
                return Failure(f"no answer within {self._limits.patience:g} s", kind=Kind.PASSING)
            except self._openai.APITimeoutError:
                return Failure(f"no connection within {self._limits.timeout:g} s", kind=Kind.PASSING)
            except self._openai.APIStatusError as error:
                if error.status_code in REFUSED and await self._pause(error.status_code, refused):
                    continue
                return await self._judge_status(error, refused)
            except self._openai.APIConnectionError as error:
                return self._judge_loss(error)

    async def _complete(self, request: Request) -> Answer | Failure:
        body = {
            "model": self._address.model,
            "messages": await asyncio.to_thread(_with_images, request) if request.images else request.messages,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_new_tokens,
            "seed": request.seed,
        }
        why_none = ""
        for attempt in range(self._limits.max_repeats + 1):
            if why_none:
                self._troubles[f"calls made again: {why_none}"] += 1
            started = time.monotonic()
            answer = await self._send(body, self._name(request, attempt))
            if isinstance(answer, Answer):
                self._accepted = max(started, self._accepted or started)
                return answer._replace(text=self._address.hide_key_in_answer(answer.text))
            why_none = answer
        return Failure(why_none)

    async def _send(self, body: dict[str, Any], headers: dict[str, str]) -> Answer | str:
        """Makes a call until it is answered, and returns the answer or why it is none."""
        # The client's method for chat completions turns both JSONs into objects, a third of a call's time.
        call = partial(self._client.post, "/chat/completions", cast_to=object, body=body, options={"headers": headers})
        try:
            completion = await first_answer(
                call,
                timeout=self._limits.timeout,
                patience=self._limits.patience,
                on_late=self._note_late,
                send_again=self._may_send_again,
            )
        except TooLargeError:
            return f"the answer is larger than {self._limits.max_answer_mb:g} MB (`--max_answer_mb`)"
        except (ValueError, RecursionError):  # JSON that is none
            return NO_COMPLETION
        return read_completion(completion)

    def _name(self, request: Request, attempt: int) -> dict[str, str]:
        """Names a call for a server that answers one of the same name from what it knows; also after a kill."""
        if not self._idempotency_header:
            return {}
        return {self._idempotency_header: f"{answer_key(self._address.identity, request)}-{attempt}"}

    def _note_late(self) -> None:
        limits = self._limits
        self._troubles["calls without an answer after `--timeout`, whose connections were kept open"] += 1
        then = "made once more, beside the first" if limits.max_retries else "given up"
        self._say(
            f"{self._address.shown} has not answered a call for {limits.timeout:g} s. Its connection stays open; "
            f"after {limits.late_timeout:g} s more (`--late_timeout`) the call is {then}."
        )

    def _may_send_again(self) -> bool:
        if self.stopped is not None or not self._limits.max_retries:
            return False
        self._troubles["calls made again without an answer to the first; the server may charge for both"] += 1
        return True

    async def _pause(self, status: int, refused: RefusedCall) -> bool:
        """Waits before a call is made again whose key was accepted before; returns False if it is not to be made."""
        if self._accepted is None:
            return False
        self._say(
            f"{self._address.shown} answered {status} to a key that it had accepted. Calls are tried on for "
            f"{self._limits.refusal_timeout:g} s (`--refusal_timeout`)."
        )
        if not await refused.pause(self._accepted):
            return False
        if self.stopped is not None:
            raise self.stopped
        self._troubles[f"calls made again: the server answered {status}"] += 1
        return True

    def _say(self, sentence: str) -> None:
        """Prints a sentence, once however many calls it is true of."""
        if sentence not in self._said:
            self._said.add(sentence)
            say(sentence)

    async def _judge_status(self, error: APIStatusError, refused: RefusedCall) -> Failure:
        """Decides whether an error that retries did not mend concerns one request or all of them."""
        status, address = error.status_code, self._address
        if status in REFUSED and self._accepted is None:
            held = "holds a key that is refused" if address.key else "is not set"
            raise self._stop(f"{address.shown} answered {status}: the variable {address.key_variable} {held}.")
        if status in REFUSED and not refused.is_alone(self._accepted or 0.0):
            raise self._stop(
                f"{address.shown} answered {status} for {self._limits.refusal_timeout:g} s (`--refusal_timeout`) to a "
                f"key that it had accepted: check the one in the variable {address.key_variable}."
            )
        if status == 404:
            served = await self._list_models()
            raise self._stop(f"{address.shown} answered 404 for the model {address.model!r}. {served}")
        return Failure(f"the server answered {status}", address.hide_key(error.message), _kind(status))

    def _judge_loss(self, error: APIConnectionError) -> Failure:
        cause = self._address.hide_key(error.__cause__ or error)
        if self._accepted is not None:
            return Failure("the connection was lost", cause, Kind.PASSING)
        shown = self._address.shown
        sentence = f"Nothing answers at {shown} ({cause}). Start the server, or check `endpoint`."
        raise self._stop(sentence, may_pass=True) from error

    async def _list_models(self) -> str:
        listing = self._client.with_options(max_retries=0, timeout=self._limits.timeout)
        try:
            names = [model.id async for model in listing.models.list()]
        except (self._openai.OpenAIError, ValueError, AttributeError):
            return "Check `model`, and that `endpoint` ends as the server wants it (often in /v1)."
        return f"It serves: {', '.join(sorted(names))}. Set `model`."

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
        if self.stopped is None:
            kept = "What was answered is kept: run the same command to go on."
            self.stopped = SamplerError(f"{sentence} {kept}", may_pass=may_pass)
        return self.stopped


def _kind(status: int) -> Kind:
    """Says what an error of the server means for the request that it answers so."""
    if status in OF_ONE_REQUEST:
        return Kind.REFUSED
    return Kind.PASSING if status == TOO_MANY or status >= OF_SERVER else Kind.OTHER


def _with_images(request: Request) -> list[dict[str, Any]]:
    parts = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in request.images]
    return put_images_in(request.messages, parts)
