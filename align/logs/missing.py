"""Scores that are missing: what could stand in their place, and the differences that this would make."""

import math
from typing import NamedTuple

import numpy as np

from align.errors import UserError
from align.evaluation.statistics.item_means import bounds_of
from align.evaluation.statistics.metrics import Values
from align.logs.log import Task

HOWS = ("bound", "wrong", "drop")
_SCALES = 10  # so many times the greatest score of a log within 0 and 1 is on another scale


class Missing(NamedTuple):
    """What a score counts as that is missing: anything in the range of its metric, wrong, or no document."""

    how: str = "bound"
    ends: tuple[float, float] | None = None  # of metrics that are not right or wrong, where all scores lie within
    only_common: bool = False  # whether what one log does not have is left out, and does not lack its scores there


ANYTHING = Missing()


def read_missing(text: str, only_common: bool = False) -> Missing:
    """Reads `bound`, `wrong`, `drop`, or a range as `LOW:HIGH`.

    Example:
        >>> read_missing("-1:1")
        Missing(how='bound', ends=(-1.0, 1.0), only_common=False)
    """
    if text in HOWS:
        return Missing(text, only_common=only_common)
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise UserError(
            f"`missing` must be {', '.join(HOWS)} or the range of the scores as LOW:HIGH, such as 0:1, got {text!r}."
        )
    return Missing(ends=(low, high), only_common=only_common)


def fillings(ours: Task, theirs: Task, metric: str, missing: Missing) -> list[tuple[Values, Values]] | None:
    """Returns the `(N,)`, `(M,)` scores of both logs, as they are first, then at their worst and best for the second.

    None if scores are missing that may be anything.
    """
    sides = ours, theirs
    known = ours.values(metric), theirs.values(metric)
    if missing.how == "drop" or not any(side.lacking(metric).any() for side in sides):
        return [known]
    numbers = np.concatenate([side.scored[metric].values for side in sides])
    ends = bounds_of(numbers) or missing.ends
    if ends is None or numbers.min() < ends[0] or numbers.max() > ends[1]:
        return None
    least, most = ([side.values(metric, end) for side in sides] for end in ends)
    if missing.how == "wrong":
        return [(least[0], least[1])]
    return [known, (most[0], least[1]), (least[0], most[1])]


def scales_differ(ours: Values, theirs: Values) -> bool:
    """Tells whether the numbers of one log are shares and those of the other reach far beyond 1, as per cents do."""
    small, large = sorted(float(each.max(initial=0.0)) for each in (ours, theirs))
    is_positive = bool((ours >= 0).all() and (theirs >= 0).all())
    return is_positive and 0 < small <= 1 < large and large >= _SCALES * small
