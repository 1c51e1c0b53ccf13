"""An open connection to an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from align.data.conversations import put_images_first
from align.models.samplers.input_images import data_url
from align.models.samplers.sampler import NO_IMAGE, Answer, Failure, Request, SamplerError

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

    from align.models.samplers.endpoint import Address

GARBAGE_RETRIES = 2  # the client retries errors, but not a success that holds no answer
FAILURES_IN_A_ROW = 20  # without one answer between them, nobody will answer the rest either
OF_ONE_REQUEST = tuple(f"the server answered {status}" for status in (400, 413, 422))  # too long, say


class Connection:
    """Sends requests as chat completions, some at once.

    Args:
        client: What sends them, and tries errors of the server again.
        address: Whom they go to.
        concurrency: Requests on their way at once.
        timeout: Seconds until the client counts a request as lost.
    """

    def __init__(self, client: AsyncOpenAI, address: Address, *, concurrency: int, timeout: float) -> None:
        import openai

        self._openai = openai
        self._client, self._address, self._timeout = client, address, timeout
        self._free = asyncio.Semaphore(concurrency)
        self._was_answered = False
        self._failures_in_a_row = 0
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
        try:
            return await self._complete(request)
        except OSError as error:  # the client has its own for the network
            return Failure(NO_IMAGE, str(error))
        except self._openai.APITimeoutError:
            return Failure(f"no answer within {self._timeout:g} s")
        except self._openai.APIStatusError as error:
            return await self._judge_status(error)
        except self._openai.APIConnectionError as error:
            cause = self._address.hide_key(error.__cause__ or error)
            if self._was_answered:
                return Failure("the connection was lost", cause)
            shown = self._address.shown
            raise self._stop(
                f"Nothing answers at {shown} ({cause}). Start the server, or check `--endpoint`."
            ) from error

    async def _complete(self, request: Request) -> Answer | Failure:
        body = {
            "model": self._address.model,
            "messages": await asyncio.to_thread(_with_images, request) if request.images else request.messages,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_new_tokens,
            "seed": request.seed,
        }
        for _ in range(GARBAGE_RETRIES + 1):
            try:
                # The client's method for chat completions turns both JSONs into objects, a third of a call's time.
                completion = await self._client.post("/chat/completions", cast_to=object, body=body)
            except ValueError:  # JSON that is none
                continue
            answer = _read(completion)
            if answer is not None:
                return answer._replace(text=self._address.hide_key_in_answer(answer.text))
        return Failure("the server sent no chat completion")

    async def _judge_status(self, error: APIStatusError) -> Failure:
        """Decides whether an error that retries did not mend concerns one request or all of them."""
        status, address = error.status_code, self._address
        if status in (401, 403):
            held = "holds a key that is refused" if address.key else "is not set"
            raise self._stop(f"{address.shown} answered {status}: the variable {address.key_variable} {held}.")
        if status == 404:
            served = await self._list_models()
            raise self._stop(f"{address.shown} answered 404 for the model {address.model!r}. {served}")
        return Failure(f"the server answered {status}", address.hide_key(error.message))

    async def _list_models(self) -> str:
        try:
            names = [model.id async for model in self._client.with_options(max_retries=0).models.list()]
        except (self._openai.OpenAIError, ValueError, AttributeError):
            return "Check `--model`, and that `--endpoint` ends as the server wants it (often in /v1)."
        return f"It serves: {', '.join(sorted(names))}. Set `--model`."

    def _count(self, result: Answer | Failure) -> None:
        if isinstance(result, Answer):
            self._was_answered, self._failures_in_a_row = True, 0
            return
        if self._was_answered and result.reason in OF_ONE_REQUEST:
            return
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= FAILURES_IN_A_ROW:
            reason = f"{result.reason} ({result.detail})" if result.detail else result.reason
            self._stop(f"{self._failures_in_a_row} requests in a row failed, the last one because {reason}.")

    def _stop(self, sentence: str) -> SamplerError:
        """Refuses every further request; the first reason counts."""
        if self.stopped is None:
            self.stopped = SamplerError(f"{sentence} What was answered is kept: run the same command to go on.")
        return self.stopped


def _with_images(request: Request) -> list[dict[str, Any]]:
    parts = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in request.images]
    return put_images_first(request.messages, parts)


def _read(completion: object) -> Answer | None:
    """Reads a chat completion; a proxy's page or another JSON is none."""
    choices = _get(completion, "choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = _get(first, "message")
    text = _get(message, "content")
    if not isinstance(message, dict) or not isinstance(text, str | None):
        return None
    usage = _get(completion, "usage")
    return Answer(
        text=(text or "").encode(errors="replace").decode(),  # half a surrogate pair could not be written to a file
        cut_off=_get(first, "finish_reason") == "length",
        prompt_tokens=_get(usage, "prompt_tokens") or 0,
        completion_tokens=_get(usage, "completion_tokens") or 0,
    )


def _get(content: object, key: str) -> Any:
    return content.get(key) if isinstance(content, dict) else None
