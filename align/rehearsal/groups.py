"""What a batch of rewarded completions would teach: TRL's advantages, where they come from, and why some are 0."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.evaluation.statistics.item_means import clustered_share
from align.evaluation.statistics.metrics import Estimate, Values, share

Flags = NDArray[np.bool_]
NOTHING = 1e-8  # a spread below which TRL takes a group to have none
_EPSILON = 1e-4  # TRL's, beside a spread that it divides by
ALL_CUT, ALL_RIGHT, ALL_WRONG, ALIKE = "all cut off", "all right", "all wrong", "rewarded alike"
WHY = (ALL_CUT, ALL_RIGHT, ALL_WRONG, ALIKE)


def contributions(values: Values, weights: Values, scale: str, aggregation: str = "sum_then_normalize") -> Values:
    """Splits TRL's advantages of `(N, S, F)` rewards, N prompts with S completions each, by reward: `(N, S, F)`.

    They add up to the advantages of `GRPOTrainer` over these prompts as one batch. nan is no value; a completion that
    no reward values has no advantage. `scale` is `scale_rewards`: group, batch or none.
    """
    known = np.asarray((~np.isnan(values)).any(axis=2))
    if aggregation == "normalize_then_sum":
        values = (values - _mean(values, 1)) / (_std(values, 1) + _EPSILON)
    weighted = np.where(known[..., None], np.nan_to_num(values * weights), np.nan)
    total = np.where(known, weighted.sum(axis=2), np.nan)
    whole = aggregation == "normalize_then_sum"
    centred = weighted - (_mean(weighted, (0, 1)) if whole else _mean(weighted, 1))
    if whole or scale == "batch":
        centred = centred / (_std(total, (0, 1))[..., None] + _EPSILON)
    elif scale != "none":
        centred = centred / (_std(total, 1)[..., None] + _EPSILON)
    return np.nan_to_num(centred)


def _mean(values: Values, axis: int | tuple[int, ...]) -> Values:
    counts = (~np.isnan(values)).sum(axis=axis, keepdims=True)
    means: Values = np.where(counts > 0, np.nansum(values, axis=axis, keepdims=True) / np.maximum(counts, 1), np.nan)
    return means


def _std(values: Values, axis: int | tuple[int, ...]) -> Values:
    counts = (~np.isnan(values)).sum(axis=axis, keepdims=True)
    squares = np.nansum((values - _mean(values, axis)) ** 2, axis=axis, keepdims=True)
    return np.sqrt(squares / np.maximum(counts - 1, 1))


def why_no_spread(totals: Values, right: Values, cut: Flags) -> list[str]:
    """Says of each of N groups of `(N, S)` rewards why it teaches nothing, one of `WHY`; an empty text if it does.

    `right` is 1 or 0, and nan where nobody can tell; `cut` are completions without an end.

    Example:
        >>> why_no_spread(np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 1], [0, 0], [0, 1]]),
        ...               np.zeros((3, 2), dtype=bool))
        ['all right', 'all wrong', '']
    """
    found = []
    for total, answers, ends in zip(totals, right, cut, strict=True):
        known = total[~np.isnan(total)]
        if len(known) and np.ptp(known) > NOTHING:
            found.append("")
        elif ends.all():
            found.append(ALL_CUT)
        elif np.isnan(answers).any() or 0 < answers.sum() < len(answers):
            found.append(ALIKE)
        else:
            found.append(ALL_RIGHT if answers.all() else ALL_WRONG)
    return found


def of_others(parts: Values, task: int) -> Estimate:
    """Estimates which share of the advantages' variance other rewards than the task's bring, of `(N, S, F)` parts.

    A reward's share is its covariance with the advantage over the advantage's variance; shares add up to 1.
    """
    whole = (parts.sum(axis=2) ** 2).sum(axis=1)
    own = (parts[..., task] * parts.sum(axis=2)).sum(axis=1)
    return clustered_share(np.clip(whole - own, 0.0, whole), whole)


def phantom(parts: Values, right: Values) -> Estimate:
    """Estimates which share of the advantages' variance lies in groups of which no completion is right."""
    whole = (parts.sum(axis=2) ** 2).sum(axis=1)
    return clustered_share(np.where(_none_right(right), whole, 0.0), whole)


def _none_right(right: Values) -> Flags:
    flags: Flags = ~np.isnan(right).all(axis=1) & (np.nansum(right, axis=1) == 0)
    return flags


def teaching(parts: Values, dropped: Flags) -> Estimate:
    """Estimates the share of completions with an advantage that the loss does not leave out."""
    taught = (np.abs(parts.sum(axis=2)) > NOTHING) & ~dropped
    return share(taught.mean(axis=1))


class NeededLength(NamedTuple):
    """How long a completion may have to be for 95 of 100 to end; infinite if none has ended."""

    tokens: float
    low: float
    high: float


def needed_length(lengths: Values, limit: int) -> NeededLength:
    """Estimates the length at which 95 % of completions have ended, of lengths that `limit` cuts.

    Where more than 5 % are cut, completions are taken to go on ending at the rate at which they did (an exponential
    tail, whose rate is the number of ends by the number of tokens), and the interval is that of the rate.

    Example:
        >>> needed_length(np.array([3.0, 4.0, 5.0, 9.0]), 64).tokens
        9.0
    """
    ends = lengths < limit
    if ends.mean() >= 0.95:
        tokens = float(np.quantile(lengths, 0.95, method="higher"))
        return NeededLength(tokens, tokens, tokens)
    if not ends.any():
        return NeededLength(math.inf, math.inf, math.inf)
    more = math.log((1 - ends.mean()) / 0.05) * lengths.sum() / ends.sum()
    factor = math.exp(1.96 / math.sqrt(ends.sum()))
    return NeededLength(*(math.ceil(limit + more * each) for each in (1.0, 1 / factor, factor)))
