"""The ceiling of a verifier, from a few samples of each question, with an interval that knows how few they are."""

import math

import numpy as np

from align.evaluation.policies.verifier import Verifier, ceiling, rates
from align.evaluation.statistics.metrics import Estimate, Values, student

_RESAMPLES = 1999


def estimate_ceiling(correct: Values, accepted: Values, *, seed: int = 0) -> Estimate:
    """Estimates the mean `ceiling` of N questions; both arguments `(N, S)`, with right and wrong answers among them.

    The share of S samples that are right is too far from one half, and with it the ceiling too low: a jackknife over
    samples takes most of that away. The interval is a percentile bootstrap over questions, which draws the verifier's
    rates too, with two more questions, of which nothing and everything is right and accepted; it is as much wider as
    Student's interval is than a normal one without the factor of N - 1. With few samples it also
    reaches towards the ceiling of questions that are all alike, which no unlike ones exceed where right answers are
    accepted more often (Jensen): by all of the distance with two samples, by (2 / S)^1.5 of it with S.
    """
    num, samples = correct.shape
    verifier = rates(correct.ravel(), accepted.ravel())
    solved = correct.sum(axis=1).astype(int)
    value = float(jackknifed_ceiling(samples, verifier)[solved].mean())
    alike = float(ceiling(np.array([correct.mean()]), verifier)[0])
    beyond = (alike - value) * min(1.0, (2 / samples) ** 1.5)

    drawn = np.random.default_rng(seed).multinomial(num + 2, np.full(num + 2, 1 / (num + 2)), size=_RESAMPLES)
    of_questions, none, every = drawn[:, :num], drawn[:, num], drawn[:, num + 1]
    parts = []
    for among in (correct, 1 - correct):
        asked, taken = among.sum(axis=1), (among * accepted).sum(axis=1)
        typical = asked[asked > 0].mean()
        parts.append((of_questions @ taken + every * typical, of_questions @ asked + (none + every) * typical))
    kept = (parts[0][1] > 0) & (parts[1][1] > 0)
    resampled = Verifier(*((taken[kept] / asked[kept])[:, None] for taken, asked in parts))
    by_solved = of_questions[kept] @ np.eye(samples + 1)[solved]
    means = ((by_solved * jackknifed_ceiling(samples, resampled)).sum(axis=1) + every[kept]) / (num + 2)
    few = student(num - 1) / student(math.inf) * math.sqrt(num / (num - 1)) if num > 1 else 1.0  # questions
    low, high = (value + few * (end - value) for end in np.quantile(means, [0.025, 0.975]))
    ends = min(low, value) + min(beyond, 0), value, max(high, value) + max(beyond, 0)
    low, value, high = (float(np.clip(each, 0, 1)) for each in ends)
    return Estimate(value, low, high, num)


def jackknifed_ceiling(samples: int, verifier: Verifier) -> Values:
    """Returns, for 0 to S right ones of S samples, the ceiling without the bias that falls with 1 / S.

    Args:
        samples: S, at least 1, of which there is nothing to leave out.
        verifier: Its rates, or `(B, 1)` of each.

    Returns:
        `(S + 1,)`, or `(B, S + 1)`; beyond 0 and 1 where it has to be, for the mean over questions to be right.

    Example:
        >>> jackknifed_ceiling(2, Verifier(1.0, 0.5)).round(3)
        array([0.   , 0.833, 1.   ])
    """
    right = np.arange(samples + 1)
    whole = ceiling(right / samples, verifier)
    if samples == 1:
        return whole
    less = ceiling(np.arange(samples) / (samples - 1), verifier)
    one_less = less[..., np.maximum(right - 1, 0)] * right + less[..., np.minimum(right, samples - 1)] * right[::-1]
    found: Values = samples * whole - (samples - 1) / samples * one_less
    return found
