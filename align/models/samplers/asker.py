"""Asks requests that depend on each other's answers: from the cache where it can, and no request twice at once."""

import asyncio

from align.models.samplers.cache import SampledAnswers, answer_key
from align.models.samplers.progress import Bar
from align.models.samplers.sampler import Answer, Failure, OpenConnection, Request, Sampler


class Asker:
    """Answers one request at a time; any number of coroutines may wait for it.

    Args:
        sampler: The model that is asked; its name is part of the cache's keys.
        connection: Reaches the model.
        cache: Known answers, which new ones are added to as they come. None knows nothing and keeps nothing.
        bar: Counts the answers that were paid for.
    """

    def __init__(
        self, sampler: Sampler, connection: OpenConnection, cache: SampledAnswers | None, bar: Bar | None = None
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
        """Answers a request; a failure is not kept, so the next run asks again.

        Raises:
            SamplerError: If nobody will answer this or any other request.
        """
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
