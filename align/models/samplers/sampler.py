"""What a model is asked and what it answers, whichever way it is reached."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, NamedTuple, Protocol

from align.data.conversations import message_text
from align.errors import UserError
from align.models.samplers.input_images import InputImage

CHARACTERS_PER_TOKEN = 4  # rule of thumb for English, for estimates only
NO_IMAGE = "an image cannot be read"  # why a request has no answer
TOO_LONG = "longer than the model's window"
_KEY_VERSION = 1  # of what an entry holds
Prompt = str | list[dict[str, Any]]


@dataclass(frozen=True)
class Request:
    """One response to be sampled."""

    prompt: Prompt  # a text, or messages
    seed: int  # decides the response, as far as the sampler can promise that
    temperature: float = 1.0  # 0 takes the most likely token
    top_p: float = 1.0  # probability of the most likely tokens that are drawn from
    max_new_tokens: int = 128
    images: tuple[InputImage, ...] = ()  # in front of the text of the first user message
    tools: tuple[Mapping[str, Any], ...] = ()  # that may be called, as schemas

    @property
    def content(self) -> dict[str, Any]:
        """Everything that decides the response, for a cache key; images by their digests."""
        names = [each.name for each in fields(self) if each.name != "images" and (each.name != "tools" or self.tools)]
        content = {name: getattr(self, name) for name in names}
        return content | {"images": [image.digest for image in self.images]} if self.images else content

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The prompt as messages."""
        return [{"role": "user", "content": self.prompt}] if isinstance(self.prompt, str) else self.prompt

    @property
    def estimated_tokens(self) -> int:
        """About how many tokens the text of the prompt has."""
        texts = [self.prompt] if isinstance(self.prompt, str) else map(message_text, self.prompt)
        return sum(map(len, texts)) // CHARACTERS_PER_TOKEN + 1


def answer_key(identity: Mapping[str, Any], request: Request) -> str:
    """Returns the name of an answer: a digest of the model and of everything that decides the answer."""
    content = {"version": _KEY_VERSION, "sampler": dict(identity), "request": request.content}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class SamplerError(UserError):
    """A model that cannot be reached or used at all."""


class Answer(NamedTuple):
    """What came back for a request."""

    text: str
    cut_off: bool  # the response reached `max_new_tokens`, or the end of the window
    prompt_tokens: int
    completion_tokens: int
    calls: Sequence[Mapping[str, Any]] = ()  # of tools, where the request had some, as the server wrote them


class Kind(Enum):
    """What a failure says of other requests, and of the same one later."""

    REFUSED = "refused"  # the server answers, and refuses this request
    PASSING = "passing"  # nobody answers, or not now
    OTHER = "other"  # an answer that is none, or an image that cannot be read


class Failure(NamedTuple):
    """Why a request has no answer; the next run asks again."""

    reason: str  # one of few, so that it can be counted
    detail: str = ""  # what the server said
    kind: Kind = Kind.OTHER


class Answering(Protocol):
    """What answers requests, which may depend on each other's answers."""

    async def answer(self, request: Request) -> Answer | Failure:
        """Answers one request; raises `SamplerError` if nobody will answer this or any other."""


class OpenConnection(AbstractAsyncContextManager["OpenConnection"], Answering, Protocol):
    """A model that is ready; left as a context it is closed."""


class Sampler(Protocol):
    """A way to reach a model."""

    name: str  # for the record; holds no path of this machine and no secret

    @property
    def identity(self) -> Mapping[str, Any]:
        """What decides its answers beside the request, for a cache key; no secrets."""

    @property
    def uses_chat_template(self) -> bool:
        """Whether the model reads a text as a message of a user."""

    def connect(self) -> OpenConnection:
        """Opens a connection."""
