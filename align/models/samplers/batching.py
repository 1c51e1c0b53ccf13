"""Collects requests that come one by one for a model that answers many at once."""

import asyncio
from collections.abc import Callable, Sequence

from align.models.samplers.sampler import Answer, Failure, OnResult, Request

SampleFunction = Callable[[Sequence[Request], OnResult], None]
PAUSE = 0.01  # seconds, in which those who got an answer ask on


class BatchingConnection:
    """Hands over, whenever the model is free, whatever is waiting for it.

    Args:
        sample: Answers requests, as `Sampler.sample`; called in a thread, once at a time.
    """

    def __init__(self, sample: SampleFunction) -> None:
        self._sample = sample
        self._waiting: list[tuple[Request, asyncio.Future[Answer | Failure]]] = []
        self._work: asyncio.Task[None] | None = None

    async def answer(self, request: Request) -> Answer | Failure:
        """Answers one request with the next batch.

        Raises:
            SamplerError: If the model could not go on.
        """
        future: asyncio.Future[Answer | Failure] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._work is None:
            self._work = asyncio.create_task(self._answer_all())
        return await future

    async def _answer_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(PAUSE)
            batch, self._waiting = self._waiting, []
            futures = [future for _, future in batch]

            def hand_over(i: int, result: Answer | Failure, futures: Sequence[asyncio.Future] = futures) -> None:
                loop.call_soon_threadsafe(_settle, futures[i], result)

            try:
                await asyncio.to_thread(self._sample, [request for request, _ in batch], hand_over)
            except Exception as error:  # whatever it is, it is raised where an answer is waited for
                for future in futures:
                    _settle(future, error)
        self._work = None


def _settle(future: asyncio.Future, result: Answer | Failure | Exception) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
