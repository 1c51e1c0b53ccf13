"""Dates and times that are written as texts, ISO 8601."""

from collections.abc import Collection, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from rewards.correction.numeric import day_of


def read_dates(texts: Sequence[str | None], missing: Collection[str]) -> tuple[NDArray[np.float64], list[int]]:
    """Reads texts as days since 1970; a time without a zone is UTC.

    Args:
        texts: N of them.
        missing: Words, in small letters, that stand for nothing.

    Returns:
        `(N,)` days, nan where there are none, and the numbers of the texts that are no dates.
    """
    days, wrong = np.full(len(texts), np.nan), []
    for row, text in enumerate(texts):
        word = "" if text is None else text.strip()
        if text is None or word.lower() in missing:
            continue
        try:
            days[row] = day_of(datetime.fromisoformat(word))
        except (ValueError, OverflowError):
            wrong.append(row)
    return days, wrong
