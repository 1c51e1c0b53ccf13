"""One call of a server that speaks chat completions: what is sent, what comes back, and what is said of neither."""

import asyncio
import json
import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from align.data.conversations import put_images_in
from align.models.samplers.input_images import data_url
from align.models.samplers.limits import Trouble, Why, asked_pause
from align.models.samplers.sampler import Answer, Failure, Kind, Request

LONGEST_WORD = 12  # such as EMPTY, which servers without keys are given
KEY_REFUSED = (401, 403)
OF_ONE_REQUEST = (400, 413, 422, *KEY_REFUSED)  # too long, say
TOO_MANY, OF_SERVER = 429, 500  # and all above
AGAIN = (408, 409, TOO_MANY)  # and all of the server: a request that timed out, a lock, too many
NO_COMPLETION, NO_CONTENT = "the server sent no chat completion", "the answer has no content"
MOST_CONNECTIONS, SECONDS_TO_CONNECT = 1000, 60.0
MOST_MEGABYTES = 4.0  # of an answer; reading stops there
MOST_TOKENS = 10_000_000  # that a server can have counted
OF_ACCOUNT = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}  # headers, by variable


@dataclass(frozen=True)
class Address:
    """Where a model is served; the URL may hold secrets, and the key may be empty."""

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


class ChatCalls:
    """Makes single calls, any number at once; close it at the end."""

    def __init__(self, address: Address, seconds: float) -> None:
        self._address, self._seconds = address, seconds
        account = {header: os.environ[name] for header, name in OF_ACCOUNT.items() if os.environ.get(name)}
        self._client = httpx.AsyncClient(
            base_url=address.url,
            headers={
                "Authorization": f"Bearer {address.key or 'EMPTY'}",
                "Accept-Encoding": "identity",  # a small compressed answer may be large
                "User-Agent": "truealign",
                **account,
            },
            timeout=httpx.Timeout(None, connect=min(SECONDS_TO_CONNECT, seconds)),
            limits=httpx.Limits(max_connections=MOST_CONNECTIONS),
            follow_redirects=True,
        )

    async def close(self) -> None:
        """Closes what is open."""
        await self._client.aclose()

    async def post(self, body: bytes, seconds: float) -> Answer | Trouble:
        """Sends one request, and waits for its answer so long."""
        content = bytearray()
        most, headers = MOST_MEGABYTES * 1e6, {"Content-Type": "application/json"}
        ask = self._client.stream("POST", "chat/completions", content=body, headers=headers)
        try:
            async with asyncio.timeout(seconds), ask as response:
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > most:
                        break
        except TimeoutError:
            failure = Failure(f"no answer within {seconds:g} s", kind=Kind.PASSING)
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
        if not isinstance(completion, Answer):
            return Trouble(Failure(completion), Why.NO_ANSWER)
        hide = self._address.hide_key_in_answer
        return completion._replace(
            text=hide(completion.text), calls=tuple(json.loads(hide(json.dumps(completion.calls))))
        )

    def _refusal(self, response: httpx.Response, content: bytes) -> Trouble:
        status, get = response.status_code, response.headers.get
        kind = Kind.PASSING if status == TOO_MANY or status >= OF_SERVER else Kind.OTHER
        kind = Kind.REFUSED if status in OF_ONE_REQUEST else kind
        again = Why.SERVER if status in AGAIN or status >= OF_SERVER else Why.NOTHING
        again = Why.KEY if status in KEY_REFUSED else again
        failure = Failure(f"the server answered {status}", self._address.hide_key(_message(status, content)), kind)
        return Trouble(failure, again, status, asked_pause(get("retry-after-ms", ""), get("retry-after", "")))

    async def list_models(self) -> str:
        """Says which models the server has."""
        try:
            listed = (await self._client.get("models", timeout=self._seconds)).json()
            names = sorted(str(model["id"]) for model in listed["data"])
        except (httpx.HTTPError, ValueError, LookupError, TypeError):
            return "Check `model`, and that `endpoint` ends as the server wants it (often in /v1)."
        return f"It serves: {', '.join(names)}. Set `model`."


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


def write_request(address: Address, request: Request) -> bytes:
    """Writes the body of a call; raises `OSError` if an image cannot be read."""
    parts = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in request.images]
    body = {
        "model": address.model,
        "messages": put_images_in(request.messages, parts) if parts else request.messages,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_new_tokens,
        "seed": request.seed,
    }
    return json.dumps(body | ({"tools": list(request.tools)} if request.tools else {})).encode()
