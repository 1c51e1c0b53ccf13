"""How long an endpoint is waited for and how often it is asked: every decision to make a call again."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from email.utils import mktime_tz, parsedate_tz
from enum import Enum
from random import random
from typing import TYPE_CHECKING

from align.errors import UserError

if TYPE_CHECKING:  # whose imports take longer than help may
    from align.models.samplers.sampler import Failure

_ABOVE_ZERO = ("timeout", "max_answer_mb")
_SECONDS_PER_MINUTE = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds after an error of the server or the network; each is twice the last
FIRST_PAUSE_OF_KEY, LONGEST_PAUSE_OF_KEY = 1.0, 60.0  # seconds after a key was refused
LONGEST_ASKED_FOR = 120.0  # seconds that a server may have a call wait
TRIES_OF_ONE = 5  # of a call that is refused while others are answered


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a call to an endpoint may take."""

    timeout: float = 120.0  # seconds until a call is late; its connection stays open, and its answer still counts
    late_timeout: float = 480.0  # seconds more until a late call is sent once again, beside the first
    max_retries: int = 5  # after errors of the server and lost connections
    max_repeats: int = 2  # after an answer without content, one that is too large, or none at all
    max_answer_mb: float = 4.0  # megabytes of an answer; reading stops there
    refusal_timeout: float = 600.0  # seconds that a call is tried on after a key is refused that had been accepted
    outage_seconds: float = 0.0  # a server that does not answer is waited for, after the first try
    requests_per_minute: float | None = None  # None for any number
    tokens_per_minute: float | None = None  # prompts by estimate, answers by `max_new_tokens`

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None:
                continue
            if (name in _ABOVE_ZERO or name.endswith("_per_minute")) and not value > 0:
                raise UserError(f"`{name}` must be above 0, got {value}.")
            if not value >= 0:
                raise UserError(f"`{name}` must be 0 or more, got {value}.")

    @property
    def patience(self) -> float:
        """Seconds until a call without an answer is sent once more."""
        return self.timeout + self.late_timeout

    @property
    def max_answer_bytes(self) -> float:
        """The largest answer."""
        return self.max_answer_mb * 1e6


class Why(Enum):
    """Why a call has no answer, which decides how often it is made again."""

    NO_ANSWER = "an answer that is none"  # `max_repeats` times, at once
    SERVER = "an error of the server"  # `max_retries` times
    NETWORK = "a lost connection"  # `max_retries` times
    KEY = "a refused key"  # for `refusal_timeout`, if it was accepted before
    NOTHING = "a call that cannot be answered, or a silence"  # not at all


@dataclass(frozen=True)
class Trouble:
    """A call without an answer."""

    failure: Failure  # what becomes of its request, unless the call is made again or every other one fails, too
    why: Why = Why.NOTHING
    status: int = 0  # of the server's response; 0 without one
    wait: float | None = None  # seconds until the server wants to be asked again; None if it did not say


@dataclass
class Tries:
    """How often one call was made again, and whether it is to be made once more."""

    limits: Limits
    repeats: int = 0  # after an answer that is none; part of the call's name, since the next is another answer
    sent: float = field(default_factory=time.monotonic)  # by `time.monotonic`; infinity during a pause
    _retries: int = 0
    _refusals: int = 0
    _first_refusal: float = 0.0

    def pause(self, trouble: Trouble, accepted: float | None) -> float | None:
        """Returns the seconds until the call is made again, None if it is not; `accepted` is when a key last was."""
        match trouble.why:
            case Why.NO_ANSWER if self.repeats < self.limits.max_repeats:
                self.repeats, self._retries = self.repeats + 1, 0
                return 0.0
            case Why.SERVER | Why.NETWORK if self._retries < self.limits.max_retries:
                pause = min(FIRST_PAUSE * 2**self._retries, LONGEST_PAUSE) * (1 - random() / 4)
                self._retries += 1
                if trouble.wait is None or trouble.wait <= 0:
                    return pause
                return trouble.wait if trouble.wait <= LONGEST_ASKED_FOR else None
            case Why.KEY if accepted is not None:
                return self._pause_of_key(accepted)
        return None

    def _pause_of_key(self, accepted: float) -> float | None:
        now = time.monotonic()
        if self._refusals == 0:
            self._first_refusal = now
        left = self._first_refusal + self.limits.refusal_timeout - now
        if left <= 0 or (self.is_refused_alone(accepted) and self._refusals >= TRIES_OF_ONE):
            return None
        pause = min(FIRST_PAUSE_OF_KEY * 2**self._refusals, LONGEST_PAUSE_OF_KEY, left)
        self._refusals, self._retries, self.repeats = self._refusals + 1, 0, 0
        return pause

    def is_refused_alone(self, accepted: float) -> bool:
        """Tells whether the server refuses this call and not the key, since it answered another meanwhile."""
        return self._refusals > 0 and accepted > self._first_refusal


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
