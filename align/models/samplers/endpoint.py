"""A model behind an OpenAI-compatible endpoint, remote or on this machine."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from align.models.samplers.concurrency import gather_all
from align.models.samplers.connection import Connection
from align.models.samplers.limits import Limits
from align.models.samplers.sampler import OnResult, Request, SamplerError
from align.models.samplers.sent_call import note_response, note_sending, note_too_large
from rewards.extras import missing

DEFAULT_KEY_VARIABLE = "OPENAI_API_KEY"
LONGEST_WORD = 12  # such as EMPTY, which servers without keys are given


@dataclass(frozen=True)
class Address:
    """Where a model is served.

    Attributes:
        url: As given; may hold secrets.
        model: Name the server knows the model by.
        key_variable: Variable that holds the API key.
        key: The key, or an empty text.
    """

    url: str = field(repr=False)
    model: str
    key_variable: str
    key: str = field(repr=False)

    @property
    def shown(self) -> str:
        """The URL without what may hold a key: user and password, query, fragment."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))

    @property
    def identity(self) -> dict[str, str]:
        """The model and where it is served."""
        return {"endpoint": self.shown, "model": self.model}

    def hide_key(self, error: object) -> str:
        """Writes an error on one line without the key, which a server may repeat."""
        text = " ".join(str(error).split())
        return (text.replace(self.key, "***") if self.key else text)[:200]

    def hide_key_in_answer(self, text: str) -> str:
        """Hides the key in an answer, which is kept; one as short as a word stays, being no secret."""
        return text.replace(self.key, "***") if len(self.key) > LONGEST_WORD else text


class EndpointSampler:
    """Sends each request as one chat completion.

    Errors of the server (429, 5xx) and lost connections are tried again with growing pauses by the client library. An
    answer that is none, has no content or is too large is asked for again, a call without an answer is made once more
    beside the first, and a key that is refused although it was accepted before is tried on; see `Limits`. A request
    that still fails is a `Failure`. A key that is refused from the start, an unknown model, a server that is not
    there, or many failures in a row end the run: no new request is sent, and those on their way may still be answered.

    Args:
        endpoint: Base URL, such as `http://localhost:8000/v1`.
        model: Name the server knows the model by.
        api_key_env: Variable that holds the key. Without one, `OPENAI_API_KEY` is used if it is set.
        concurrency: Requests on their way at once.
        idempotency_header: Header for the name of a call, if the server answers a call that it knows without charge.
        **limits: As in `Limits`.

    Attributes:
        troubles: Counts the calls that were late or made again.

    Raises:
        SamplerError: If the endpoint is no URL, or the variable holds no key.
        UserError: If a limit is out of range.
        ImportError: If the client library is not installed.
    """

    uses_chat_template = True

    def __init__(
        self,
        endpoint: str,
        model: str,
        *,
        api_key_env: str | None = None,
        concurrency: int = 16,
        idempotency_header: str | None = None,
        **limits: Any,
    ) -> None:
        if sentence := missing("oracle", "`endpoint`", "openai"):  # before anything is planned, not after
            raise ImportError(sentence)
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SamplerError(f"`endpoint` must be a URL such as http://localhost:8000/v1, got {endpoint!r}.")
        self._address = Address(endpoint, model, *_find_key(api_key_env))
        self.concurrency, self._limits = concurrency, Limits(**limits)
        self._idempotency_header = idempotency_header or ""
        self.troubles: Counter[str] = Counter()
        self.name = f"{model} ({self._address.shown})"

    @property
    def identity(self) -> dict[str, str]:
        """The model and where it is served."""
        return self._address.identity

    def sample(self, requests: Sequence[Request], on_result: OnResult) -> None:
        """Answers requests, `concurrency` of them at once; see `Sampler.sample`."""
        asyncio.run(self._sample(requests, on_result))

    async def _sample(self, requests: Sequence[Request], on_result: OnResult) -> None:
        async with self.connect() as connection:

            async def answer(i: int, request: Request) -> None:
                on_result(i, await connection.answer(request))

            await gather_all(answer(i, request) for i, request in enumerate(requests))

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """Opens a connection for requests that depend on each other's answers.

        Raises:
            SamplerError: At the end, if the connection was stopped on the way.
        """
        import openai

        address, limits = self._address, self._limits
        hooks: dict[str, list[Any]] = {
            "request": [note_sending],
            "response": [note_response, limit_answers(limits.max_answer_bytes)],
        }
        client = openai.AsyncOpenAI(
            base_url=address.url,
            api_key=address.key or "EMPTY",
            # A late answer is waited for on its connection, by `first_answer`.
            timeout=openai.Timeout(limits.timeout, read=None, pool=None),
            max_retries=limits.max_retries,
            default_headers={"Accept-Encoding": "identity"},  # a small compressed answer may be large
            http_client=openai.DefaultAsyncHttpxClient(event_hooks=hooks),
        )
        async with client:
            connection = Connection(
                client,
                address,
                limits,
                concurrency=self.concurrency,
                idempotency_header=self._idempotency_header,
                troubles=self.troubles,
            )
            yield connection
        if connection.stopped is not None:
            raise connection.stopped


def _find_key(api_key_env: str | None) -> tuple[str, str]:
    """Finds the variable that may hold a key, and the key."""
    variable = api_key_env or DEFAULT_KEY_VARIABLE
    key = os.environ.get(variable, "").strip()
    if api_key_env and not key:
        raise SamplerError(f"The variable {variable}, which should hold the API key, is not set.")
    if not (key.isascii() and key.isprintable()):  # HTTP libraries quote such a header in their errors
        raise SamplerError(f"The variable {variable} holds more than an API key: it has odd characters.")
    return variable, key


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
