"""What a perturbation draws: which parts are hidden, and in which order parts stand; parts are words or frames."""

import random
from collections.abc import Sequence
from typing import TypeVar

MASKED_SHARE = (0.25, 0.5)  # of the parts
WINDOW = 4  # parts that may change places with each other
T = TypeVar("T")


def draw_masked(count: int, rng: random.Random) -> list[int]:
    """Draws 25 to 50 % of `count` parts; none of a single one."""
    lowest, highest = -int(-count * MASKED_SHARE[0] // 1), int(count * MASKED_SHARE[1])
    return rng.sample(range(count), rng.randint(lowest, highest)) if highest else []


def shuffled(items: Sequence[T], rng: random.Random) -> list[T]:
    """Draws an order that differs from the given one wherever two items differ."""
    given, drawn = list(items), list(items)
    while drawn == given and any(item != given[0] for item in given):
        rng.shuffle(drawn)
    return drawn


def shuffled_in_windows(items: Sequence[T], rng: random.Random) -> list[T]:
    """Draws another order inside each window of four."""
    windows = [shuffled(items[start : start + WINDOW], rng) for start in range(0, len(items), WINDOW)]
    return [item for window in windows for item in window]
