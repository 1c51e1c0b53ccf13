"""Runs coroutines side by side; when one fails, those that are waiting for a paid answer still get it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


async def gather_all(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    """Waits for all of them, also if one fails, and then raises the first error."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    return [_raise_if_error(result) for result in results]


async def map_concurrently(function: Callable[[T], Awaitable[U]], items: Sequence[T], num_workers: int) -> list[U]:
    """Applies a coroutine function to items, begun in their order.

    Args:
        function: What is applied.
        items: Its arguments.
        num_workers: How many items are worked on at once.

    Returns:
        One result per item, in their order.

    Raises:
        Exception: The first that the function raises. Items that were begun are finished, no others are begun.
    """
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


def _raise_if_error(result: T | BaseException) -> T:
    if isinstance(result, BaseException):
        raise result
    return result
