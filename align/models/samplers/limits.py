"""How long an endpoint is waited for and how often it is asked: every decision to make a call again."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from enum import Enum
from random import random
from typing import TYPE_CHECKING

from align.errors import UserError

if TYPE_CHECKING:  # whose imports take longer than help may
    from align.models.samplers.sampler import Failure

_SECONDS_PER_MINUTE = 60.0
FIRST_PAUSE, FIRST_PAUSE_OF_KEY = 0.5, 4.0  # seconds after an error, and after a refused key; each is twice the last
LONGEST_PAUSE = 60.0
LONGEST_ASKED_FOR = 120.0  # seconds that a server may have a call wait
TRIES_OF_KEY = 5  # after one that had been accepted is refused: two minutes
MOST_REPEATS = 2  # after an answer that is none, each of which may be charged for


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a call to an endpoint may take."""

    timeout: float = 600.0  # seconds for an answer; what the server works on is not asked for again before
    max_retries: int = 5  # after errors of the server, lost connections, and answers that are none
    outage_seconds: float = 0.0  # a server that does not answer is waited for, after the first try
    requests_per_minute: float | None = None  # None for any number
    tokens_per_minute: float | None = None  # prompts by estimate, answers by `max_new_tokens`

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None:
                continue
            if (name == "timeout" or name.endswith("_per_minute")) and not value > 0:
                raise UserError(f"`{name}` must be above 0, got {value}.")
            if not value >= 0:
                raise UserError(f"`{name}` must be 0 or more, got {value}.")


class Why(Enum):
    """Why a call has no answer, which decides how often it is made again."""

    NO_ANSWER = "an answer that is none, or a silence"  # `MOST_REPEATS` times, at once
    SERVER = "an error of the server"
    NETWORK = "a lost connection"
    KEY = "a refused key"  # `TRIES_OF_KEY` times, if it was accepted before
    NOTHING = "a call that cannot be answered"  # not at all


@dataclass(frozen=True)
class Trouble:
    """A call without an answer."""

    failure: Failure  # what becomes of its request, unless the call is made again or every other one fails, too
    why: Why = Why.NOTHING
    status: int = 0  # of the server's response; 0 without one
    wait: float | None = None  # seconds until the server wants to be asked again; None if it did not say


def pause_before(trouble: Trouble, tries: int, max_retries: int, left: float = 0.0) -> float | None:
    """Returns the seconds until a call is made again that was made again `tries` times, None if it is not.

    An outage is waited for while seconds are `left`, whatever the number of tries.
    """
    if left > 0:
        return min(trouble.wait or FIRST_PAUSE * 2 ** min(tries, 9), LONGEST_PAUSE, left)
    most = {Why.NOTHING: 0, Why.KEY: TRIES_OF_KEY, Why.NO_ANSWER: min(MOST_REPEATS, max_retries)}
    if tries >= most.get(trouble.why, max_retries):
        return None
    if trouble.why is Why.NO_ANSWER:
        return 0.0
    is_key = trouble.why is Why.KEY
    if not is_key and trouble.wait is not None and trouble.wait > 0:
        return trouble.wait if trouble.wait <= LONGEST_ASKED_FOR else None
    first = FIRST_PAUSE_OF_KEY if is_key else FIRST_PAUSE
    return min(first * 2**tries, LONGEST_PAUSE) * (1 - random() / 4)


def asked_pause(milliseconds: str, retry_after: str) -> float | None:
    """Reads the headers `retry-after-ms` and `retry-after`; the latter holds seconds or a date.

    Example:
        >>> asked_pause("250", ""), asked_pause("", "3"), asked_pause("", "soon")
        (0.25, 3.0, None)
    """
    for text, divisor in ((milliseconds, 1000), (retry_after, 1)):
        try:
            seconds = float(text) / divisor
        except ValueError:
            continue
        if math.isfinite(seconds):
            return seconds
    date = parsedate_tz(retry_after)
    return None if date is None else mktime_tz(date) - time.time()


class Rate:
    """Keeps to a number per minute, None for any; that of the first minute may come at once."""

    def __init__(self, per_minute: float | None) -> None:
        self._per_minute, self._used_until = per_minute, 0.0

    async def take(self, number: float) -> None:
        """Waits until so many more may come, and in the order of the calls; more than a minute's count as those."""
        import asyncio  # takes longer than help may

        if self._per_minute is None:
            return
        now = time.monotonic()
        seconds = min(number / self._per_minute, 1.0) * _SECONDS_PER_MINUTE
        self._used_until = max(self._used_until, now) + seconds
        await asyncio.sleep(max(0.0, self._used_until - now - _SECONDS_PER_MINUTE))


class Waiting:
    """Counts the seconds in which at least one request waits; enter it for each that does. A copy begins anew."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._num_waiting, self._since = 0, 0.0

    def __reduce__(self) -> tuple[type[Waiting], tuple[()]]:
        return Waiting, ()

    def __enter__(self) -> None:
        if self._num_waiting == 0:
            self._since = time.monotonic()
        self._num_waiting += 1

    def __exit__(self, *error: object) -> None:
        self._num_waiting -= 1
        if self._num_waiting == 0:
            self.seconds += time.monotonic() - self._since
