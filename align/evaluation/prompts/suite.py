"""What a reward measures of a policy, as a pure function: from values of samples to metrics by name."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from align.evaluation.prompts.voting import maj_at_k, pass_at_k
from align.evaluation.statistics.group_metrics import by_group, spread_of_groups
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Values
from align.evaluation.suite import Measured


@dataclass(frozen=True)
class Scale:
    """How the values of a reward are read; the same for all models.

    Attributes:
        bounds: The least and the greatest value there can be, or None if that is not known.
        right_from: Value from which a response is right; None if no value says so.
        votes: Whether responses state answers that can be counted.
        is_share: Whether each value is 0 or 1, so that their mean is a share of responses.
    """

    bounds: tuple[float, float] | None
    right_from: float | None = 1.0
    votes: bool = True
    is_share: bool = False


def read_scale(
    values: Sequence[Values], right_from: float | None = None, *, votes: bool = True, may_be_right: bool = True
) -> Scale:
    """Reads from the values of all models whether they lie between 0 and 1, and where a response is right.

    Args:
        values: Of each model.
        right_from: What is right, if it was said; else 1, of a reward that gives nothing but 0 and 1.
        votes: As in `Scale`.
        may_be_right: Whether a 1 says that a response is right, which it does not where less may be better.

    Example:
        >>> read_scale([np.array([0.0, 1.0, np.nan]), np.array([0.5])])
        Scale(bounds=(0.0, 1.0), right_from=None, votes=True, is_share=False)
    """
    found = np.concatenate([each.ravel() for each in values])
    known = found[~np.isnan(found)]
    is_share = bool(np.isin(known, (0.0, 1.0)).all())
    if right_from is None and may_be_right and is_share:
        right_from = 1.0
    bounds = (0.0, 1.0) if len(known) and ((known >= 0) & (known <= 1)).all() else None
    return Scale(bounds, right_from, votes, is_share)


def reward_suite(
    name: str,
    values: Values,
    answers: Sequence[Sequence[str | None]],
    groups: Sequence[str | None],
    ks: Sequence[int],
    scale: Scale,
) -> Measured:
    """Measures the mean of a reward, pass@k and maj@k, over all prompts and by group.

    Args:
        name: Of the reward.
        values: `(N, S)` values; nan where it has nothing to say, or failed.
        answers: `(N, S)` what each sample answers.
        groups: `(N,)` of the prompts; those without one are in no group.
        ks: Each k.
        scale: How values are read.
    """
    means = {f"reward/{name}": (_mean(values), scale.bounds)}
    if scale.right_from is not None:
        right = np.where(np.isnan(values), np.nan, values >= scale.right_from)
        for k in ks:
            means[f"pass@{k}/{name}"] = (_per_prompt(right, answers, k, _passes), (0.0, 1.0))
            if k > 1 and scale.votes:  # of one sample the majority is that sample
                means[f"maj@{k}/{name}"] = (_per_prompt(right, answers, k, maj_at_k), (0.0, 1.0))
    metrics = {metric: ItemMean((each,), bounds=bounds) for metric, (each, bounds) in means.items()}
    spread = spread_of_groups(groups, means[f"pass@1/{name}"][0]) if f"pass@1/{name}" in means else {}
    worst = {f"worst_group/{name}": spread["worst_group"]} if spread else {}
    return Measured(metrics | by_group(metrics, groups), worst)


def mean_of_samples(metrics: Mapping[str, ItemMean], name: str) -> Values:
    """Returns the `(N,)` mean value of a reward over the samples of each prompt."""
    return metrics[f"reward/{name}"].groups[0]


def _mean(values: Values) -> Values:
    kept = [row[~np.isnan(row)] for row in values]
    # Rounded once: the same values in another order are the same mean.
    return np.array([math.fsum(row) / len(row) if len(row) else math.nan for row in kept])


def _per_prompt(
    right: Values,
    answers: Sequence[Sequence[str | None]],
    k: int,
    measure: Callable[[Sequence[str | None], Sequence[float], int], float],
) -> Values:
    """Measures each prompt on the samples that have a value; nan where those are fewer than k."""
    found = np.full(len(right), np.nan)
    for i, (row, said) in enumerate(zip(right, answers, strict=True)):
        kept = np.flatnonzero(~np.isnan(row))
        if len(kept) >= k:
            found[i] = measure([said[j] for j in kept], row[kept].tolist(), k)
    return found


def _passes(answers: Sequence[str | None], right: Sequence[float], k: int) -> float:
    return pass_at_k(len(right), round(sum(right)), k)
