"""What choosing among the samples of one question by a verifier is worth: best of n, and a verifier's audit."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from align.evaluation.policies.abstention import (
    PRECISIONS,
    answer_above_threshold,
    answer_if_accepted,
    rates_by_difficulty,
)
from align.evaluation.policies.ceiling import estimate_ceiling
from align.evaluation.policies.verifier import Verifier, optimal_attempts, rates, utility
from align.evaluation.record.policies import Audit, CurvePoint, Optimum, Utility
from align.evaluation.reward_models.best_of_n import expected_best_of_n
from align.evaluation.statistics.item_means import ItemMean, mean_of_items
from align.evaluation.statistics.metrics import Estimate, Values, share
from align.evaluation.statistics.ratios import clustered_share

COSTS = (0.0, 0.5, 1.0, 2.0, 4.0)  # of a wrong answer that is accepted, where a right one is worth 1
ATTEMPTS = (1, 2, 4, 8, 16, 32, 64)


class Pool(NamedTuple):
    """The samples of N questions.

    Attributes:
        correct: `(N, S)` 1 for a right answer.
        proxy: `(N, S)` the verifier's score.
        accepted: `(N, S)` whether the verifier accepts.
        bounds: The least and the greatest score there can be, or `None`.
    """

    correct: Values
    proxy: Values
    accepted: Values
    bounds: tuple[float, float] | None = (0.0, 1.0)


def points(num_samples: int) -> list[int]:
    """Returns 1, 2, 4, ... and S.

    Example:
        >>> points(6)
        [1, 2, 4, 6]
    """
    return [*(1 << i for i in range((num_samples - 1).bit_length())), num_samples]


def best_of_n_metrics(pool: Pool) -> dict[str, ItemMean]:
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


def audit(pool: Pool) -> Audit:
    """Says what a verifier lets through, when to stop sampling until it accepts, and when not to answer at all.

    Rates have an interval over items, because the samples of an item are not independent. The prior of an item is the
    share of its samples that are right; with few samples priors look more unlike than they are, which makes fewer
    attempts look best. The ceiling is freed from that, see `estimate_ceiling`.
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
        optimal_attempts=_optima(prior, verifier) if known else [],
        utility=_utilities(prior, verifier) if known else [],
        by_difficulty=rates_by_difficulty(pool.correct, pool.accepted),
        if_accepted=[
            answer_if_accepted(pool.correct, pool.accepted, attempts) for attempts in points(pool.correct.shape[1])
        ],
        above_threshold=[answer_above_threshold(pool.correct, pool.proxy, precision) for precision in PRECISIONS],
    )


def _rate(accepted: Values, among: Values) -> Estimate:
    return clustered_share((accepted * among).sum(axis=1), among.sum(axis=1))


def _expect(rows: Sequence[tuple[Values, Values]], n: int, *, by: int, of: int) -> Values:
    return np.array([expected_best_of_n(row[by], row[of], n) for row in rows])


def _optima(prior: Values, verifier: Verifier) -> list[Optimum]:
    found = []
    for cost in COSTS:
        attempts = optimal_attempts(prior, verifier, cost)
        reached = utility(prior, verifier, 1 << 20 if attempts is None else attempts, cost)
        found.append(Optimum(cost=cost, attempts=attempts, utility=reached))
    return found


def _utilities(prior: Values, verifier: Verifier) -> list[Utility]:
    return [
        Utility(
            cost=cost,
            attempts=list(ATTEMPTS),
            utility=[utility(prior, verifier, attempts, cost) for attempts in ATTEMPTS],
        )
        for cost in COSTS
    ]
