"""The model that a judge asks: behind an endpoint or in this process, from the cache where it can; what that costs."""

import asyncio
import hashlib
import weakref
from collections import Counter
from collections.abc import MutableMapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from align.models.samplers.asking import SampledAnswers
from align.models.samplers.endpoint import EndpointSampler
from align.models.samplers.sampler import Answer, Answering, Failure, Request, Sampler, answer_key

_OPEN = ("_spent", "_waited", "_asked", "_cache", "_connections", "_sampler")  # a copy begins without them
PER_PRICE = 1_000_000  # tokens
# Requests that the model answered, found in the cache or left unanswered, and the tokens of the first.
_COUNTED = ("requests", "cached", "unanswered", "prompt_tokens", "completion_tokens")


class Prices(NamedTuple):
    """Of a million tokens, in any currency."""

    prompt: float | None = None
    completion: float | None = None

    def of(self, prompt_tokens: float, completion_tokens: float) -> float | None:
        """Returns what tokens cost; None where no price is known."""
        if self.prompt is None and self.completion is None:
            return None
        return ((self.prompt or 0.0) * prompt_tokens + (self.completion or 0.0) * completion_tokens) / PER_PRICE


class Estimate(NamedTuple):
    """What is asked about one completion, at most; prompts are counted on rows of the data."""

    requests: float
    prompt_tokens: float
    completion_tokens: float


class AskedModel:
    """Answers texts for any event loop, by a model in this process or, with the settings of one, behind an `endpoint`.

    A text that was asked before in this process is another request, with another seed, so that asking again shows how
    much a model differs from itself; a new process begins anew, and finds what the cache holds.
    """

    def __init__(
        self, model: str, endpoint: dict[str, Any] | None, *, cache: str | None = None, batch_size: int = 16
    ) -> None:
        self._model, self._batch_size = model, batch_size
        self._cache_folder = cache
        self._endpoint = None if endpoint is None else EndpointSampler(model=model, **endpoint)
        self._reset()

    def _reset(self) -> None:
        self._spent, self._waited = dict.fromkeys(_COUNTED, 0), 0.0
        self._asked: Counter[bytes] = Counter()  # by digest: the texts of a long run would fill the memory
        self._connections: MutableMapping[asyncio.AbstractEventLoop, Answering] = weakref.WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _OPEN}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._reset()

    async def ask(self, text: str, *, temperature: float, max_new_tokens: int) -> Answer | Failure:
        """Answers a text; raises `SamplerError` if nobody will answer any."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        again = self._asked[digest]
        self._asked[digest] += 1
        request = Request(text, again, temperature=temperature, max_new_tokens=max_new_tokens)
        cache = self._cache
        key = answer_key(self._sampler.identity, request)
        if cache is not None and (known := cache.find(key)) is not None:
            self._spent["cached"] += 1
            return known
        result = await self._connection().answer(request)
        if isinstance(result, Failure):
            self._spent["unanswered"] += 1
            return result
        self._spent["requests"] += 1
        self._spent["prompt_tokens"] += result.prompt_tokens
        self._spent["completion_tokens"] += result.completion_tokens
        if cache is not None:
            cache.keep(key, result)
        return result

    def take_spending(self) -> dict[str, float]:
        """Returns what was asked since this was called last, and forgets it."""
        spent, self._spent = self._spent, dict.fromkeys(_COUNTED, 0)
        before, self._waited = self._waited, 0.0 if self._endpoint is None else self._endpoint.waiting.seconds
        return spent | {"waited_seconds": self._waited - before}

    @cached_property
    def _sampler(self) -> Sampler:
        if self._endpoint is not None:
            return self._endpoint
        from align.models.samplers.local_model import LocalSampler

        return LocalSampler(self._model, batch_size=self._batch_size)

    @cached_property
    def _cache(self) -> SampledAnswers | None:
        return None if self._cache_folder is None else SampledAnswers(Path(self._cache_folder))

    def _connection(self) -> Answering:
        loop = asyncio.get_running_loop()
        if loop not in self._connections:
            self._connections[loop] = self._sampler.connect()
        return self._connections[loop]
