"""How far what a run logs has moved, beyond chance, where steps that follow each other are alike."""

import math

import numpy as np

from align.evaluation.statistics.metrics import Estimate, Values

FEWEST = 9  # logs of which a course can be told
BATCHES = 5  # of a third of the logs, at least
SURE = 0.998  # level of the intervals, which a run looks at again and again


def moved(values: Values) -> Estimate:
    """Estimates how far the last third of `(N,)` logs, nine or more and in order, lies above the first.

    The 99.8 % interval is Student's, of the means of batches: five to nine of each third, or its three or four logs.
    """
    from scipy.special import stdtrit

    third = len(values) // 3
    size = max(1, third // BATCHES)
    count = third // size
    early, late = (
        each.reshape(count, size).mean(axis=1) for each in (values[: count * size], values[-count * size :])
    )
    change = float(late.mean() - early.mean())
    error = math.sqrt((np.var(early, ddof=1) + np.var(late, ddof=1)) / count)
    half = float(stdtrit(2 * count - 2, (1 + SURE) / 2)) * error
    return Estimate(change, change - half, change + half, len(values), "logs")


def parted(rewards: Values, values: Values, way: int, *, is_share: bool) -> tuple[int, Estimate] | None:
    """Estimates how far `(N,)` values went up, or down with a `way` of -1, while rewards rose, and over how many logs.

    Of the last logs, all and each half of before, it takes those over which it is surest, so that what rose first and
    fell later is found. A share moves by itself, another number by a share of the larger of what it was and is. None
    where rewards did not rise, or there are fewer than nine logs.
    """
    found = []
    for count in {len(values) >> halves for halves in range(len(values).bit_length())}:
        if count < FEWEST or not moved(rewards[-count:]).low > 0:
            continue
        kept, third = way * values[-count:], count // 3
        change, sizes = moved(kept), (abs(kept[:third].mean()), abs(kept[-third:].mean()))
        scale = 1.0 if is_share else float(max(sizes)) or 1.0
        value, low, high = (each / scale for each in change[:3])
        found.append((count, change._replace(value=value, low=low, high=min(high, max(1.0, value)))))
    return max(found, key=lambda each: each[1].low, default=None)
