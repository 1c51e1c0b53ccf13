"""What a batch of rewarded completions would teach: TRL's advantages, where they come from, and why some are 0."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from align.evaluation.statistics.item_means import clustered_share
from align.evaluation.statistics.metrics import Estimate, Values, mean_of_known, share

Flags = NDArray[np.bool_]
NOTHING = 1e-8  # a spread below which TRL takes a group to have none
_EPSILON = 1e-4  # TRL's, beside a spread that it divides by
ALL_CUT, ALL_RIGHT, ALL_WRONG, ALIKE = WHY = ("all cut off", "all right", "all wrong", "rewarded alike")


def contributions(values: Values, weights: Values, scale: str, aggregation: str = "sum_then_normalize") -> Values:
    """Splits TRL's advantages of `(N, S, F)` rewards, N prompts with S completions each, by reward: `(N, S, F)`.

    They add up to the advantages of `GRPOTrainer` over these prompts as one batch. nan is no value; a completion that
    no reward values has no advantage. `scale` is `scale_rewards`: group, batch or none.
    """
    known, is_apart = np.asarray((~np.isnan(values)).any(axis=2)), aggregation == "normalize_then_sum"
    if is_apart:
        values = (values - _mean(values, (1,))) / (_std(values, (1,)) + _EPSILON)
    axes = (0, 1) if is_apart or scale == "batch" else (1,)
    weighted = np.where(known[..., None], np.nan_to_num(values * weights), np.nan)
    centred = weighted - _mean(weighted, axes if is_apart else (1,))
    if is_apart or scale != "none":
        centred = centred / (_std(np.where(known, weighted.sum(axis=2), np.nan), axes)[..., None] + _EPSILON)
    return np.nan_to_num(centred)


def _mean(values: Values, axes: tuple[int, ...]) -> Values:
    return np.expand_dims(mean_of_known(values, axes), axes)


def _std(values: Values, axes: tuple[int, ...]) -> Values:
    counts = (~np.isnan(values)).sum(axis=axes, keepdims=True)
    squares = np.nansum((values - _mean(values, axes)) ** 2, axis=axes, keepdims=True)
    return np.sqrt(squares / np.maximum(counts - 1, 1))


def why_no_spread(totals: Values, right: Values, cut: Flags) -> list[str]:
    """Says of each of N groups of `(N, S)` rewards why it teaches nothing, one of `WHY`; an empty text if it does.

    `right` is 1 or 0, and nan where nobody can tell; `cut` are completions without an end.

    Example:
        >>> why_no_spread(np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 1], [0, 1]]), np.zeros((2, 2), bool))
        ['all right', '']
    """
    found = []
    for total, answers, ends in zip(totals, right, cut, strict=True):
        known = total[~np.isnan(total)]
        if len(known) and np.ptp(known) > NOTHING:
            found.append("")
        elif ends.all():
            found.append(ALL_CUT)
        else:  # nan is neither
            found.append(ALL_RIGHT if (answers == 1).all() else ALL_WRONG if (answers == 0).all() else ALIKE)
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
    return clustered_share(np.where((right == 0).all(axis=1), whole, 0.0), whole)


def errors_in_groups(paid: Values, fpr: float, fnr: float, size: int) -> list[Estimate]:
    """Estimates of groups of `size` which share differs by errors alone, and which loses its difference by them.

    How often prompts are really solved is fitted to the pay `(N, S)`, 1, 0 or nan, by maximum likelihood (Kiefer and
    Wolfowitz, 1956) as shares over 21 rates. Each completion errs by itself; intervals resample prompts 200 times.
    The first share comes out low where both rates are high: docs/evidence/reward-errors.md.
    """
    truly = np.linspace(0, 1, 21)
    seen = fpr + (1 - fpr - fnr) * truly
    pay = np.stack([np.nansum(paid, axis=1), (~np.isnan(paid)).sum(axis=1)], axis=1)
    alike, counts = np.unique(pay, axis=0, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(len(paid), counts / len(paid), size=200)
    counts, likely = np.concatenate([counts[None], drawn]), binom.pmf(alike[:, :1], alike[:, 1:], seen)
    shares = np.full((len(counts), len(truly)), 1 / len(truly))
    for _ in range(200):
        shares *= (counts / np.maximum(shares @ likely.T, 1e-300)) @ likely / len(paid)
    all_right, all_wrong = truly**size, (1 - truly) ** size
    stays = all_right * ((1 - fnr) ** size + fnr**size) + all_wrong * ((1 - fpr) ** size + fpr**size)
    made, lost = all_right + all_wrong - stays, seen**size + (1 - seen) ** size - stays
    found = (shares @ each for each in (made, lost))
    bounds = ((each[0], np.quantile(each[1:], (0.025, 0.975))) for each in found)
    return [Estimate(value, low, high, len(paid)) for value, (low, high) in bounds]


def teaching(parts: Values, dropped: Flags) -> Estimate:
    """Estimates the share of completions with an advantage that the loss does not leave out."""
    return share(((np.abs(parts.sum(axis=2)) > NOTHING) & ~dropped).mean(axis=1))
