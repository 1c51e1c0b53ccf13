"""Sampling until a verifier accepts: what an imperfect verifier lets through, and when to stop.

After "Inference Scaling fLaws" (Stroebl, Kapoor and Narayanan, arXiv 2411.17501). An item i is answered right with
probability p_i, its prior. A right answer is accepted with probability `tpr`, a wrong one with `fpr`, so an attempt is
accepted with

    a_i = p_i * tpr + (1 - p_i) * fpr

and k attempts survive without an accepted one with (1 - a_i)^k. That factor holds the prior: whether another attempt
is needed is decided before it is known that one is accepted.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from align.evaluation.statistics.metrics import Values


class Verifier(NamedTuple):
    """How often a verifier accepts an answer, by whether it is right."""

    tpr: float
    fpr: float


class Tried(NamedTuple):
    """What k attempts end in, as `(N,)` probabilities; the rest to 1 is that none is accepted."""

    right: Values
    wrong: Values


def rates(correct: Sequence[bool] | Values, accepted: Sequence[bool] | Values) -> Verifier:
    """Returns the shares of right and of wrong answers that are accepted; `nan` where there are none.

    Example:
        >>> rates([True, True, False, False], [True, False, False, False])
        Verifier(tpr=0.5, fpr=0.0)
    """
    right, taken = np.asarray(correct, dtype=bool), np.asarray(accepted, dtype=bool)
    tpr, fpr = (float(taken[part].mean()) if part.any() else math.nan for part in (right, ~right))
    return Verifier(tpr, fpr)


def try_until_accepted(prior: Values, verifier: Verifier, attempts: int) -> Tried:
    """Returns how `attempts` independent attempts at each item end.

    Args:
        prior: `(N,)` probabilities p_i that an attempt is right.
        verifier: Its two rates.
        attempts: k, at least 0.

    Example:
        >>> tried = try_until_accepted(np.array([0.5]), Verifier(1.0, 0.5), 2)
        >>> tried.right, tried.wrong  # 0.5 + 0.25 * 0.5 and half of that
        (array([0.625]), array([0.3125]))
    """
    hit, slip = prior * verifier.tpr, (1 - prior) * verifier.fpr
    accept = hit + slip
    # Of an attempt that is never accepted there is nothing to divide up.
    reached = np.where(accept > 0, 1 - (1 - accept) ** attempts, 0) / np.where(accept > 0, accept, 1)
    return Tried(hit * reached, slip * reached)


def ceiling(prior: Values, verifier: Verifier) -> Values:
    """Returns the `(N,)` probability that the answer is right which unlimited attempts end in.

    It is the posterior p_i * tpr / a_i. An item of which nothing is ever accepted stays without an answer, 0.

    Example:
        >>> ceiling(np.array([0.5, 0.0]), Verifier(1.0, 0.5))
        array([0.66666667, 0.        ])
    """
    hit, accept = prior * verifier.tpr, prior * verifier.tpr + (1 - prior) * verifier.fpr
    posterior: Values = np.where(accept > 0, hit, 0) / np.where(accept > 0, accept, 1)
    return posterior


def utility(prior: Values, verifier: Verifier, attempts: int, cost: float) -> float:
    """Returns the mean worth of `attempts`: 1 for a right answer, `-cost` for a wrong one, 0 for none."""
    tried = try_until_accepted(prior, verifier, attempts)
    return float((tried.right - cost * tried.wrong).mean())


def optimal_attempts(prior: Values, verifier: Verifier, cost: float) -> int | None:
    """Returns the number of attempts with the highest utility; `None` if more always pay, 0 if none does.

    Another attempt after k is worth mean_i (1 - a_i)^k * (p_i * tpr - cost * (1 - p_i) * fpr). With `tpr > fpr` items
    that pay are accepted sooner than those that do not, so this changes its sign at most once, from gain to loss.

    Example:
        >>> optimal_attempts(np.array([0.9, 0.01]), Verifier(0.9, 0.1), cost=1.0)
        2
    """
    hit, slip = prior * verifier.tpr, (1 - prior) * verifier.fpr
    worth, survive = hit - cost * slip, 1 - hit - slip
    if verifier.tpr <= verifier.fpr:  # losses come first, so it is all or nothing
        best = ceiling(prior, verifier)
        return None if float((best - cost * np.where(hit + slip > 0, 1 - best, 0)).mean()) > 0 else 0
    if worth.sum() <= 0:
        return 0
    slowest = float(survive[worth != 0].max())
    if slowest == 0:
        return 1
    if worth[survive == slowest].sum() > 0:  # these are what is left in the end
        return None

    def gain(done: int) -> float:  # in units of what the slowest item has left, which does not underflow
        return float((worth * (survive / slowest) ** done).sum())

    low, high = 0, 1  # gain(low) > 0, and in the end >= gain(high)
    while gain(high) > 0:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if gain(middle) > 0 else (low, middle)
    return high


def first_accepted(correct: Sequence[bool], accepted: Sequence[bool], attempts: int) -> tuple[float, float]:
    """Returns the chances that the first accepted of `attempts` answers is right, and wrong, over a pool's orders.

    Exact and unbiased for answers that are drawn without replacement: none of k is accepted with probability
    C(N - A, k) / C(N, k), where A of the N answers are accepted, and each of them is as likely to be the first.

    Example:
        >>> first_accepted([True, False, False, False], [True, True, False, False], 1)
        (0.25, 0.25)
    """
    size, taken = len(correct), sum(accepted)
    if not 0 <= attempts <= size:
        raise ValueError(f"`attempts` must lie between 0 and the {size} answers, got {attempts}.")
    if not taken:
        return 0.0, 0.0
    found = 1 - math.comb(size - taken, attempts) / math.comb(size, attempts)
    right = sum(good and kept for good, kept in zip(correct, accepted, strict=True))
    return found * right / taken, found * (taken - right) / taken
