"""What choosing among samples by a verifier is worth, what an imperfect one lets through, and when to answer at all.

After "Inference Scaling fLaws" (Stroebl, Kapoor and Narayanan, arXiv 2411.17501). An item i is answered right with
probability p_i, its prior. A right answer is accepted with probability `tpr`, a wrong one with `fpr`, so an attempt is
accepted with

    a_i = p_i * tpr + (1 - p_i) * fpr

and k attempts survive without an accepted one with (1 - a_i)^k. That factor holds the prior: whether another attempt
is needed is decided before it is known that one is accepted. Where arguments are `(N, S)` they are S samples of N
questions.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from align.evaluation.record.details import (
    AttemptsRule,
    Audit,
    CurvePoint,
    OfDifficulty,
    Optimum,
    ThresholdRule,
    Utility,
)
from align.evaluation.statistics.item_means import ItemMean, clustered_share, mean_of_items
from align.evaluation.statistics.metrics import Estimate, Values, share, student
from align.evaluation.suites.reward_model.best_of_n import expected_best_of_n, points


class Rates(NamedTuple):
    """How often a verifier accepts an answer, by whether it is right."""

    tpr: float
    fpr: float


class TriedAttempts(NamedTuple):
    """What k attempts end in, as `(N,)` probabilities; the rest to 1 is that none is accepted."""

    right: Values
    wrong: Values


def rates(correct: Sequence[bool] | Values, accepted: Sequence[bool] | Values) -> Rates:
    """Returns the shares of right and of wrong answers that are accepted; `nan` where there are none.

    Example:
        >>> rates([True, True, False, False], [True, False, False, False])
        Rates(tpr=0.5, fpr=0.0)
    """
    right, taken = np.asarray(correct, dtype=bool), np.asarray(accepted, dtype=bool)
    tpr, fpr = (float(taken[part].mean()) if part.any() else math.nan for part in (right, ~right))
    return Rates(tpr, fpr)


def try_until_accepted(prior: Values, verifier: Rates, attempts: int) -> TriedAttempts:
    """Returns how k independent attempts at each item end; `(N,)` priors p_i are chances that an attempt is right.

    Example:
        >>> tried = try_until_accepted(np.array([0.5]), Rates(1.0, 0.5), 2)
        >>> tried.right, tried.wrong  # 0.5 + 0.25 * 0.5 and half of that
        (array([0.625]), array([0.3125]))
    """
    hit, slip = prior * verifier.tpr, (1 - prior) * verifier.fpr
    accept = hit + slip
    # Of an attempt that is never accepted there is nothing to divide up.
    reached = np.where(accept > 0, 1 - (1 - accept) ** attempts, 0) / np.where(accept > 0, accept, 1)
    return TriedAttempts(hit * reached, slip * reached)


def ceiling(prior: Values, verifier: Rates) -> Values:
    """Returns `(N,)` chances p_i * tpr / a_i that unlimited attempts end in a right answer; 0 if none is accepted.

    Example:
        >>> ceiling(np.array([0.5, 0.0]), Rates(1.0, 0.5))
        array([0.66666667, 0.        ])
    """
    hit, accept = prior * verifier.tpr, prior * verifier.tpr + (1 - prior) * verifier.fpr
    return np.where(accept > 0, hit, 0) / np.where(accept > 0, accept, 1)


def utility(prior: Values, verifier: Rates, attempts: int, cost: float) -> float:
    """Returns the mean worth of `attempts`: 1 for a right answer, `-cost` for a wrong one, 0 for none."""
    tried = try_until_accepted(prior, verifier, attempts)
    return float((tried.right - cost * tried.wrong).mean())


def optimal_attempts(prior: Values, verifier: Rates, cost: float) -> int | None:
    """Returns the number of attempts with the highest utility; `None` if more always pay, 0 if none does.

    Another attempt after k is worth mean_i (1 - a_i)^k * (p_i * tpr - cost * (1 - p_i) * fpr). With `tpr > fpr` items
    that pay are accepted sooner than those that do not, so this changes its sign at most once, from gain to loss.

    Example:
        >>> optimal_attempts(np.array([0.9, 0.01]), Rates(0.9, 0.1), cost=1.0)
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

    Exact and unbiased for answers that are drawn without replacement: none of k is accepted with probability C(N - A,
    k) / C(N, k), where A of the N answers are accepted, and each of them is as likely to be the first.

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


_RESAMPLES = 1999


def estimate_ceiling(correct: Values, accepted: Values, *, seed: int = 0) -> Estimate:
    """Estimates the mean `ceiling` of N questions; both arguments `(N, S)`, with right and wrong answers among them.

    Shares of S samples are too far from one half, and the ceiling too low: a jackknife over samples takes most of that
    away. The interval is a percentile bootstrap over questions, which draws the verifier's rates too, with two more
    questions, of which nothing and everything is right and accepted, widened as Student's is. With few samples it also
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
    resampled = Rates(*((taken[kept] / asked[kept])[:, None] for taken, asked in parts))
    by_solved = of_questions[kept] @ np.eye(samples + 1)[solved]
    means = ((by_solved * jackknifed_ceiling(samples, resampled)).sum(axis=1) + every[kept]) / (num + 2)
    few = student(num - 1) / student(math.inf) * math.sqrt(num / (num - 1)) if num > 1 else 1.0  # questions
    low, high = (value + few * (end - value) for end in np.quantile(means, [0.025, 0.975]))
    ends = min(low, value) + min(beyond, 0), value, max(high, value) + max(beyond, 0)
    low, value, high = (float(np.clip(each, 0, 1)) for each in ends)
    return Estimate(value, low, high, num)


def jackknifed_ceiling(samples: int, verifier: Rates) -> Values:
    """Returns, for 0 to S right ones of S samples, the ceiling without the bias that falls with 1 / S.

    `(S + 1,)`, or `(B, S + 1)` of `(B, 1)` rates; beyond 0 and 1 where it has to be, for the mean over questions to be
    right. Of one sample there is nothing to leave out.

    Example:
        >>> jackknifed_ceiling(2, Rates(1.0, 0.5)).round(3)
        array([0.   , 0.833, 1.   ])
    """
    right = np.arange(samples + 1)
    whole = ceiling(right / samples, verifier)
    if samples == 1:
        return whole
    less = ceiling(np.arange(samples) / (samples - 1), verifier)
    one_less = less[..., np.maximum(right - 1, 0)] * right + less[..., np.minimum(right, samples - 1)] * right[::-1]
    return samples * whole - (samples - 1) / samples * one_less


EDGES = (0.0, 0.25, 0.5, 0.75)  # of the share of a question's samples that are right; 0 and 1 are bins of their own
PRECISIONS = (0.8, 0.9, 0.95)


def rates_by_difficulty(correct: Values, accepted: Values) -> list[OfDifficulty]:
    """Measures a verifier by the share of a question's samples that are right: 0, four bins between, and 1."""
    solved = correct.mean(axis=1)
    bins = [(0.0, 0.0, solved == 0)]
    bins += [(low, low + 0.25, (solved > low) & (solved <= low + 0.25) & (solved < 1)) for low in EDGES]
    bins.append((1.0, 1.0, solved == 1))
    return [
        OfDifficulty(
            above=above,
            up_to=up_to,
            questions=int(here.sum()),
            true_positive_rate=_rate(accepted[here], correct[here]),
            false_positive_rate=_rate(accepted[here], 1 - correct[here]),
        )
        for above, up_to, here in bins
        if here.any()
    ]


def answer_if_accepted(correct: Values, accepted: Values, attempts: int) -> AttemptsRule:
    """Measures answering with the first accepted of so many attempts, else abstaining; exact over their orders."""
    ends = np.array(
        [first_accepted(right > 0, taken > 0, attempts) for right, taken in zip(correct, accepted, strict=True)]
    )
    right, answered = ends[:, 0], ends.sum(axis=1).clip(0, 1)
    return AttemptsRule(attempts=attempts, coverage=share(answered), accuracy=clustered_share(right, answered))


def answer_above_threshold(correct: Values, scores: Values, precision: float, seed: int = 0) -> ThresholdRule:
    """Measures the rule: answer with the sample of the highest score if this reaches a threshold, else abstain.

    A random half of the questions finds the lowest threshold with the precision, None if there is none; the other half
    measures, because the half that chose it flatters it.
    """
    best = scores.max(axis=1)
    is_best = scores == best[:, None]  # equal scores are chosen from at random
    right = (correct * is_best).sum(axis=1) / is_best.sum(axis=1)
    order = np.random.default_rng(seed).permutation(len(best))
    calibrating, measuring = order[: len(order) // 2], order[len(order) // 2 :]
    threshold = lowest_threshold(best[calibrating], right[calibrating], precision)
    answered = np.zeros(len(measuring)) if threshold is None else (best[measuring] >= threshold).astype(float)
    return ThresholdRule(
        precision=precision,
        calibrated_on=len(calibrating),
        threshold=threshold,
        coverage=share(answered),
        accuracy=clustered_share(right[measuring] * answered, answered),
    )


def lowest_threshold(scores: Values, right: Values, precision: float) -> float | None:
    """Returns the lowest score from which on the answers are right often enough; None if there is none.

    Example:
        >>> lowest_threshold(np.array([4.0, 3.0, 2.0, 1.0]), np.array([1.0, 0.0, 1.0, 0.0]), 0.6)
        2.0
    """
    enough = [level for level in np.unique(scores) if right[scores >= level].mean() >= precision]
    return float(enough[0]) if enough else None


def _rate(accepted: Values, among: Values) -> Estimate:
    return clustered_share((accepted * among).sum(axis=1), among.sum(axis=1))


COSTS = (0.0, 0.5, 1.0, 2.0, 4.0)  # of a wrong answer that is accepted, where a right one is worth 1
ATTEMPTS = (1, 2, 4, 8, 16, 32, 64)


class SamplePool(NamedTuple):
    """The samples of N questions."""

    correct: Values  # `(N, S)` 1 for a right answer
    proxy: Values  # `(N, S)` the verifier's score
    accepted: Values  # `(N, S)` whether the verifier accepts
    bounds: tuple[float, float] | None = (0.0, 1.0)  # least and greatest score there can be, or None


def best_of_n_metrics(pool: SamplePool) -> dict[str, ItemMean]:
    """Returns `best_of_<n>`, the accuracy of the sample with the highest score of n, for each n of a curve.

    Beside it `best_of_<n>/proxy`, the score of that sample, and `best_of_<n>/oracle`, the chance that one of n is
    right. All are expectations over the draws of n from the S samples, exact and with equal scores broken at random.
    """
    metrics = {"sampled_accuracy": ItemMean((pool.correct.mean(axis=1),))}
    for n in points(pool.correct.shape[1]):
        rows = list(zip(pool.correct, pool.proxy, strict=True))
        metrics[f"best_of_{n}"] = ItemMean((_expect(rows, n, by=1, of=0),))
        metrics[f"best_of_{n}/proxy"] = ItemMean((_expect(rows, n, by=1, of=1),), bounds=pool.bounds)
        metrics[f"best_of_{n}/oracle"] = ItemMean((_expect(rows, n, by=0, of=0),))
    return metrics


def curve(metrics: Mapping[str, ItemMean], num_samples: int) -> list[CurvePoint]:
    """Arranges the metrics as points of a curve over n."""
    return [
        CurvePoint(
            n=n,
            gold=metrics[f"best_of_{n}"].estimate(),
            proxy=metrics[f"best_of_{n}/proxy"].estimate(),
            oracle=metrics[f"best_of_{n}/oracle"].estimate(),
        )
        for n in points(num_samples)
    ]


def audit(pool: SamplePool) -> Audit:
    """Says what a verifier lets through, when to stop sampling until it accepts, and when not to answer at all.

    Rates have an interval over items, whose samples are not independent. With few samples priors look more unlike than
    they are, which makes fewer attempts look best; the ceiling is freed from that, see `estimate_ceiling`.
    """
    verifier = rates(pool.correct.ravel(), pool.accepted.ravel())
    prior = pool.correct.mean(axis=1)
    known = not any(np.isnan(verifier))
    return Audit(
        accepted=mean_of_items(pool.accepted.mean(axis=1)),
        true_positive_rate=_rate(pool.accepted, pool.correct),
        false_positive_rate=_rate(pool.accepted, 1 - pool.correct),
        prior=mean_of_items(prior),
        ceiling=estimate_ceiling(pool.correct, pool.accepted) if known else share([]),
        optimal_attempts=[_optimum(prior, verifier, cost) for cost in COSTS if known],
        utility=[
            Utility(cost=cost, attempts=[*ATTEMPTS], utility=[utility(prior, verifier, n, cost) for n in ATTEMPTS])
            for cost in COSTS
            if known
        ],
        by_difficulty=rates_by_difficulty(pool.correct, pool.accepted),
        if_accepted=[
            answer_if_accepted(pool.correct, pool.accepted, attempts) for attempts in points(pool.correct.shape[1])
        ],
        above_threshold=[answer_above_threshold(pool.correct, pool.proxy, precision) for precision in PRECISIONS],
    )


def _expect(rows: Sequence[tuple[Values, Values]], n: int, *, by: int, of: int) -> Values:
    return np.array([expected_best_of_n(row[by], row[of], n) for row in rows])


def _optimum(prior: Values, verifier: Rates, cost: float) -> Optimum:
    attempts = optimal_attempts(prior, verifier, cost)
    reached = utility(prior, verifier, 1 << 20 if attempts is None else attempts, cost)
    return Optimum(cost=cost, attempts=attempts, utility=reached)
