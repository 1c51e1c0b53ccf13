"""Runs seeded cases: each ends in a result or in a refusal that can be read, within seconds."""

import os
import random
import signal
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager

from align.errors import UserError

SECONDS = 60.0  # of one case on a busy machine; most take milliseconds
LONGEST = 6_000  # characters of a refusal; that of bad rows lists five of them
SEEDS = "FUZZ_SEEDS"


class Hang(BaseException):
    """A case that was still running after its time; no `except Exception` catches it."""


class Broken(AssertionError):
    """A case whose result is not what it must be."""


def require(holds: object, what: str) -> None:
    """Says what is wrong with a result."""
    if not holds:
        raise Broken(what)


def run_cases(name: str, count: int, case: Callable[[random.Random], str], seconds: float = SECONDS) -> Counter:
    """Runs the cases with the seeds 0 to `count`, or those of the environment: `FUZZ_SEEDS=7` or `FUZZ_SEEDS=0:500`.

    Args:
        name: Words for `pytest -k` that select the test.
        count: How many cases.
        case: Runs one; returns how it ended, or raises `UserError`.
        seconds: How long a case may take.

    Returns:
        How often each end was met; `refused` for a `UserError`.

    Raises:
        AssertionError: With one seed of every defect and the line that runs it again.
    """
    ends: Counter = Counter()
    defects: dict[str, list[int]] = {}
    for seed in _seeds(count):
        try:
            with _time_limit(seconds):
                ends[_end(case, random.Random(f"{name}/{seed}"))] += 1
        except (Exception, Hang) as error:
            defects.setdefault(_describe(error), []).append(seed)
    lines = [
        f"{len(seeds)} x {defect}\n    {SEEDS}={seeds[0]} python -m pytest --all tests/fuzz -k {name}"
        for defect, seeds in defects.items()
    ]
    if lines:
        raise AssertionError("\n".join([f"{sum(map(len, defects.values()))} cases broke:", *lines]))
    print(f"{name}: {dict(ends.most_common())}")
    return ends


def is_whole_campaign() -> bool:
    """Tells whether enough cases ran to say something of how often they end in which way."""
    return SEEDS not in os.environ


def _seeds(count: int) -> range:
    first, colon, last = os.environ.get(SEEDS, f"0:{count}").partition(":")
    return range(int(first), int(last) if colon else int(first) + 1)


def _end(case: Callable[[random.Random], str], rng: random.Random) -> str:
    try:
        return case(rng)
    except UserError as error:
        check_refusal(str(error))
        return "refused"


def check_refusal(text: str) -> None:
    """A refusal is a paragraph that a terminal can show and a file can hold."""
    require(text.strip() and len(text) <= LONGEST, f"a refusal of {len(text)} characters: {text[:200]!r}")
    hidden = {character for character in text if not character.isprintable() and character != "\n"}
    require(not hidden, f"a refusal with {hidden}: {text[:200]!r}")


@contextmanager
def _time_limit(seconds: float):
    """Interrupts what takes longer; code that catches everything may go on, and is told of when it ends."""
    hangs = []

    def stop(number, frame):
        hangs.append(Hang(f"still running after {seconds:.0f} s"))
        raise hangs[0]

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if hangs:
        raise hangs[0]


def _describe(error: BaseException) -> str:
    """Names a defect by its error and the last of our lines, so that many cases of one are one."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/align/" in frame.filename or "/rewards/" in frame.filename] or frames
    place = "" if isinstance(error, Broken) else f" ({'/'.join(ours[-1].filename.split('/')[-2:])}:{ours[-1].lineno})"
    return f"{type(error).__name__}: {str(error)[:300]}{place}"
