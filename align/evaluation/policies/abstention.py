"""When to answer at all: a verifier's errors by difficulty, and what is answered if it must accept first.

After "Inference Scaling fLaws" (arXiv 2411.17501): false positives cap what repeated attempts reach, and a wrong
answer may cost more than none. All arguments are `(N, S)`: S samples of N questions.
"""

import numpy as np

from align.evaluation.policies.verifier import first_accepted
from align.evaluation.record.policies import AttemptsRule, OfDifficulty, ThresholdRule
from align.evaluation.statistics.metrics import Estimate, Values, share
from align.evaluation.statistics.ratios import clustered_share

EDGES = (0.0, 0.25, 0.5, 0.75)  # of the share of a question's samples that are right; 0 and 1 are bins of their own
PRECISIONS = (0.8, 0.9, 0.95)


def rates_by_difficulty(correct: Values, accepted: Values) -> list[OfDifficulty]:
    """Measures a verifier by the share of a question's samples that are right: 0, four bins between, and 1.

    Rates have intervals over questions. With few samples a question may be in the bin beside its own.
    """
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
    """Measures the rule: answer with the first of so many attempts that is accepted, else abstain.

    An expectation over the orders of the S samples, exact.
    """
    ends = np.array(
        [first_accepted(right > 0, taken > 0, attempts) for right, taken in zip(correct, accepted, strict=True)]
    )
    right, answered = ends[:, 0], ends.sum(axis=1).clip(0, 1)
    return AttemptsRule(attempts=attempts, coverage=share(answered), accuracy=clustered_share(right, answered))


def answer_above_threshold(correct: Values, scores: Values, precision: float, seed: int = 0) -> ThresholdRule:
    """Measures the rule: answer with the sample of the highest score if this reaches a threshold, else abstain.

    A random half of the questions calibrates: the threshold is the lowest one at which the share of right answers
    among those given is the precision asked for, and there is none if no threshold gives it. The other half measures,
    because the half that chose it flatters it.
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
