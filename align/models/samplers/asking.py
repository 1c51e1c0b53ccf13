"""Asks a sampler only what is not known yet, no request twice at once, and keeps every answer the moment it comes."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from align.models.answer_cache import AnswerCache
from align.models.samplers.progress import Bar, show_progress
from align.models.samplers.sampler import Answer, Answering, Failure, Request, Sampler, answer_key

T = TypeVar("T")
U = TypeVar("U")


class SampledAnswers(AnswerCache):
    """Answers of a sampler by key; only their form differs from `AnswerCache`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, option="--cache")

    def find(self, key: str) -> Answer | None:
        """Returns the answer, or None."""
        entry = self.get(key)
        return None if entry is None else Answer(*entry)

    def keep(self, key: str, answer: Answer) -> None:
        """Keeps an answer."""
        self.put({key: list(answer) if answer.calls else list(answer[:4])})  # as before there were calls

    def __enter__(self) -> "SampledAnswers":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Plan(NamedTuple):
    """What asking would cost."""

    num_unknown: int  # calls
    num_known: int
    prompt_tokens: int  # estimated, of the calls' texts
    max_completion_tokens: int
    num_images: int  # that the calls would send; what they cost in tokens is the model's own affair


def plan_requests(sampler: Sampler, requests: Sequence[Request], cache: SampledAnswers | None) -> Plan:
    """Counts what would be sent and about how many tokens that is; without a cache nothing is known."""
    asked = _by_key(sampler, requests)
    unknown = [each for key, each in asked.items() if cache is None or cache.find(key) is None]
    return Plan(
        num_unknown=len(unknown),
        num_known=len(asked) - len(unknown),
        prompt_tokens=sum(request.estimated_tokens for request in unknown),
        max_completion_tokens=sum(request.max_new_tokens for request in unknown),
        num_images=sum(len(request.images) for request in unknown),
    )


def ask(
    sampler: Sampler, requests: Sequence[Request], cache: SampledAnswers, description: str
) -> list[Answer | Failure]:
    """Answers requests in order, from the cache where it can and else from the sampler; equal ones are asked once."""
    asked = _by_key(sampler, requests)
    found: dict[str, Answer | Failure | None] = {key: cache.find(key) for key in asked}
    unknown = {key: request for key, request in asked.items() if found[key] is None}

    async def ask_unknown(bar: Bar) -> None:
        async with sampler.connect() as connection:
            asker = Asker(sampler, connection, cache, bar)

            async def ask_one(key: str, request: Request) -> None:
                found[key] = await asker.ask(request)
                bar.advance()

            await gather_all(ask_one(*each) for each in unknown.items())

    if unknown:
        with show_progress(description, total=len(unknown)) as bar:
            asyncio.run(ask_unknown(bar))
    results = [found[answer_key(sampler.identity, request)] for request in requests]
    return [result for result in results if result is not None]


def _by_key(sampler: Sampler, requests: Sequence[Request]) -> dict[str, Request]:
    return {answer_key(sampler.identity, request): request for request in requests}


class Asker:
    """Answers one request at a time, for any number of coroutines, and keeps answers in the cache as they come."""

    def __init__(
        self, sampler: Sampler, connection: Answering, cache: SampledAnswers | None, bar: Bar | None = None
    ) -> None:
        self._identity, self._connection, self._cache, self._bar = sampler.identity, connection, cache, bar
        self._asked: dict[str, asyncio.Task[Answer | Failure]] = {}
        self._used: set[bytes] = set()
        self.num_prompt_tokens = self.num_completion_tokens = 0

    @property
    def num_used(self) -> int:
        """Different answers that were used, whether they were known or not."""
        return len(self._used)

    async def ask(self, request: Request) -> Answer | Failure:
        """Answers a request; a failure is not kept, so the next run asks again."""
        key = answer_key(self._identity, request)
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(self._find(key, request))
        task = self._asked[key]
        try:
            result = await task
        finally:
            self._asked.pop(key, None)
        self._count(key, result)
        return result

    async def _find(self, key: str, request: Request) -> Answer | Failure:
        known = None if self._cache is None else self._cache.find(key)
        if known is not None:
            return known
        result = await self._connection.answer(request)
        if isinstance(result, Answer):
            if self._cache is not None:
                self._cache.keep(key, result)
            if self._bar is not None:
                self._bar.count(result)
        return result

    def _count(self, key: str, result: Answer | Failure) -> None:
        name = bytes.fromhex(key)
        if isinstance(result, Answer) and name not in self._used:
            self._used.add(name)
            self.num_prompt_tokens += result.prompt_tokens
            self.num_completion_tokens += result.completion_tokens


async def gather_all(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    """Waits for all of them, also if one fails, and then raises the first error."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return cast(list[T], results)


async def map_concurrently(function: Callable[[T], Awaitable[U]], items: Sequence[T], num_workers: int) -> list[U]:
    """Applies a coroutine function to items, begun in their order; after the first error no others are begun."""
    results: dict[int, U] = {}
    waiting = deque(range(len(items)))

    async def work() -> None:
        while waiting:
            i = waiting.popleft()
            try:
                results[i] = await function(items[i])
            except BaseException:
                waiting.clear()
                raise

    await gather_all(work() for _ in range(num_workers))
    return [results[i] for i in range(len(items))]
