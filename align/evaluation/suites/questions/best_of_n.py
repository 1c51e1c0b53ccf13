"""What choosing among samples by a verifier is worth (after "Inference Scaling fLaws", arXiv 2411.17501)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Values
from align.evaluation.suites.reward_model.best_of_n import expected_best_of_n, points


class SamplePool(NamedTuple):
    """The samples of N questions."""

    correct: Values  # `(N, S)` 1 for a right answer
    proxy: Values  # `(N, S)` the verifier's score
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


def _expect(rows: Sequence[tuple[Values, Values]], n: int, *, by: int, of: int) -> Values:
    return np.array([expected_best_of_n(row[by], row[of], n) for row in rows])
