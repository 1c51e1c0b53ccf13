"""Searches texts for patterns in a process that may be killed: one pattern can take hours, or all memory."""

import re
from collections.abc import Sequence

from align.errors import UserError
from rewards.running.workers import WorkerPool

SECONDS, MEMORY_GB = 5.0, 1.0  # of one pattern on one text; a sound one takes less than a millisecond


def search(asked: tuple[str, str]) -> bool:
    """Says whether a pattern (of `re`) is found in a text."""
    pattern, text = asked
    return re.search(pattern, text) is not None


def search_all(patterns: Sequence[tuple[str, str]], texts: Sequence[str]) -> dict[str, list[bool]]:
    """Searches every text for every pattern.

    Args:
        patterns: Name and pattern.
        texts: Where to search.

    Raises:
        UserError: If one is no pattern, takes longer than `SECONDS` or more than `MEMORY_GB`, by name.
    """
    if not patterns:
        return {}
    found: dict[str, list[bool]] = {}
    different = list(dict.fromkeys(texts))
    with WorkerPool(search, timeout=SECONDS, memory_gb=MEMORY_GB) as pool:
        for name, pattern in patterns:
            outcomes = pool.map([(pattern, text) for text in different])
            if failed := next((each for each in outcomes if each.failure is not None), None):
                raise UserError(
                    f"The pattern of the behaviour {name!r} cannot be used: {failed.message.rstrip('.')}. Write a "
                    "regular expression of Python without repeats inside repeats, such as (a+)+. Answers are kept."
                )
            by_text = dict(zip(different, (each.value for each in outcomes), strict=True))
            found[name] = [by_text[text] for text in texts]
    return found
