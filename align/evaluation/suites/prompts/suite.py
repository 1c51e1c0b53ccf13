"""What a reward measures of a policy, as a pure function: from values of samples to metrics by name."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from align.evaluation.statistics.group_metrics import by_group, spread_of_groups
from align.evaluation.statistics.item_means import ItemMean, bounds_of
from align.evaluation.statistics.metrics import Values
from align.evaluation.suite import Measured
from rewards.reading.formulas import answered_formula
from rewards.reading.numbers import read_number
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat


def pass_at_k(num_samples: int, num_right: int, k: int) -> float:
    """Returns the chance that one of k samples is right: 1 - C(n - c, k) / C(n, k), unbiased (Chen et al., 2021).

    Example:
        >>> pass_at_k(4, 2, 1), pass_at_k(4, 1, 2)
        (0.5, 0.5)
    """
    if not 1 <= k <= num_samples:
        raise ValueError(f"`k` must lie between 1 and the {num_samples} samples, got {k}.")
    return 1 - math.comb(num_samples - num_right, k) / math.comb(num_samples, k)


def maj_at_k(answers: Sequence[Hashable | None], right: Sequence[float], k: int) -> float:
    """Returns the chance that the answer that most of k of S samples give is right, ties broken at random.

    Samples without an answer do not vote; if none of k votes, that is wrong. Where samples with one answer are not all
    right (1) or all wrong (0), the answer counts as their mean.

    Example:
        >>> maj_at_k(["3", "3", "4"], [1.0, 1.0, 0.0], 3)
        1.0
        >>> maj_at_k(["3", "3", "4"], [0.0, 0.0, 1.0], 2)  # 3 and 3: wrong; 3 and 4, twice: a tie
        0.3333333333333333
    """
    if not 1 <= k <= len(answers):
        raise ValueError(f"`k` must lie between 1 and the {len(answers)} samples, got {k}.")
    votes = Counter(answer for answer in answers if answer is not None)
    silent = len(answers) - votes.total()
    expected = 0.0
    for answer, count in votes.items():
        worth = sum(value for value, other in zip(right, answers, strict=True) if other == answer) / count
        if worth:
            others = tuple(sorted(other for name, other in votes.items() if name != answer))
            expected += worth * _chance_to_win(count, others, silent, k)
    return expected


def stated_answer(text: str, response_format: ResponseFormat = DEFAULT_FORMAT) -> str | None:
    r"""Reads what a response answers, so that equal answers are equal texts: in its tags, last line or box.

    Example:
        >>> stated_answer("<answer>1,000</answer>"), stated_answer(r"So \boxed{Blue}."), stated_answer("Perhaps 3")
        ('1000', 'blue', None)
    """
    answer = answered_formula(text, response_format)
    if answer is None:
        return None
    number = read_number(answer)
    if number is None:
        return " ".join(answer.casefold().split())
    return f"{number.value} {number.unit}".strip()


@lru_cache(maxsize=1 << 16)
def _chance_to_win(own: int, others: tuple[int, ...], silent: int, k: int) -> float:
    """Returns the chance that an answer with `own` votes has the most of k drawn, ties shared out."""
    ways = 0.0
    for size in range(1, min(own, k) + 1):
        beaten = {(drawn, 0): math.comb(silent, drawn) for drawn in range(min(silent, k - size) + 1)}
        for other in others:
            beaten = _with_another(beaten, other, size, k - size)
        draws = sum(count / (ties + 1) for (drawn, ties), count in beaten.items() if drawn == k - size)
        ways += math.comb(own, size) * draws
    return ways / math.comb(sum(others) + own + silent, k)


def _with_another(beaten: dict[tuple[int, int], int], votes: int, size: int, most: int) -> dict[tuple[int, int], int]:
    """Adds an answer that gets `size` votes of its own at most; with as many it ties."""
    found: dict[tuple[int, int], int] = defaultdict(int)
    for (drawn, ties), count in beaten.items():
        for more in range(min(votes, size, most - drawn) + 1):
            found[drawn + more, ties + (more == size)] += count * math.comb(votes, more)
    return found


@dataclass(frozen=True)
class RewardScale:
    """How the values of a reward are read; the same for all models."""

    bounds: tuple[float, float] | None  # least and greatest value there can be; None if that is not known
    right_from: float | None = 1.0  # value from which a response is right; None if no value says so
    votes: bool = True  # whether responses state answers that can be counted
    is_share: bool = False  # whether each value is 0 or 1, so that their mean is a share of responses


def read_scale(
    values: Sequence[Values], right_from: float | None = None, *, votes: bool = True, may_be_right: bool = True
) -> RewardScale:
    """Reads from the values of all models whether they lie between 0 and 1, and where a response is right.

    Unless `right_from` says it, that is 1 of a reward that gives nothing but 0 and 1, if that `may_be_right`, which it
    does not say where less may be better.

    Example:
        >>> read_scale([np.array([0.0, 1.0, np.nan]), np.array([0.5])])
        RewardScale(bounds=(0.0, 1.0), right_from=None, votes=True, is_share=False)
    """
    found = np.concatenate([each.ravel() for each in values])
    known = found[~np.isnan(found)]
    is_share = bool(np.isin(known, (0.0, 1.0)).all())
    if right_from is None and may_be_right and is_share:
        right_from = 1.0
    return RewardScale(bounds_of(known) if len(known) else None, right_from, votes, is_share)


def reward_suite(
    name: str,
    values: Values,
    answers: Sequence[Sequence[str | None]],
    groups: Sequence[str | None],
    ks: Sequence[int],
    scale: RewardScale,
) -> Measured:
    """Measures the mean of a reward's `(N, S)` values (nan: none), pass@k and maj@k, over all prompts and by group."""
    means = {f"reward/{name}": (_mean(values), scale.bounds)}
    if scale.right_from is not None:
        right = np.where(np.isnan(values), np.nan, values >= scale.right_from)
        for k in ks:
            passes = _per_prompt(right, answers, k, lambda _, own, k: pass_at_k(len(own), round(sum(own)), k))
            means[f"pass@{k}/{name}"] = (passes, (0.0, 1.0))
            if k > 1 and scale.votes:  # of one sample the majority is that sample
                means[f"maj@{k}/{name}"] = (_per_prompt(right, answers, k, maj_at_k), (0.0, 1.0))
    metrics = {metric: ItemMean((each,), bounds=bounds) for metric, (each, bounds) in means.items()}
    spread = spread_of_groups(groups, means[f"pass@1/{name}"][0]) if f"pass@1/{name}" in means else {}
    worst = {f"worst_group/{name}": spread["worst_group"]} if spread else {}
    return Measured(metrics | by_group(metrics, groups), worst)


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
