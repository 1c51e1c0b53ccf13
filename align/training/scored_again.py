"""Calls rewards again on some rows of a batch, and leaves no trace of that in the training process."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from rewards.running.guard import GuardedReward
from rewards.running.protocol import is_async, result_of
from rewards.running.scores import Score

Rows = Mapping[GuardedReward, Sequence[int]]


def score_again(rows: Rows, given: Mapping[str, Any], device: torch.device) -> dict[GuardedReward, list[Score]]:
    """Scores rows of a batch again, each reward its own; those that are awaited all at once.

    Args:
        rows: Reward to rows, in the order in which it gets them.
        given: The arguments of the call that scored the whole batch.
        device: Whose random state is put back, as are those of Python, numpy and torch.
    """
    with generators_kept(device):
        found = {func: func.score_again(given, own) for func, own in rows.items() if not is_async(func)}
        awaited = [func for func in rows if is_async(func)]
        if not awaited:
            return found

        async def together() -> list[list[Score]]:
            return await asyncio.gather(*(func.score_again(given, rows[func]) for func in awaited))

        return found | dict(zip(awaited, result_of(together()), strict=True))


@contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """Puts random states back: a reward that draws from them changes nothing for the trainer."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
