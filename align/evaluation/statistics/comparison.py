"""Two policies on the same questions: who is right where the other is not."""

from collections.abc import Sequence
from typing import NamedTuple

from align.evaluation.statistics.metrics import Values
from align.evaluation.statistics.paired_proportions import mcnemar


class Paired(NamedTuple):
    """Right answers of a model and a baseline, question by question."""

    wins: list[str]  # ids of questions that only the model gets right
    losses: list[str]  # ids of questions that only the baseline gets right
    num_both: int
    num_neither: int
    mcnemar_p: float | None  # exact and two-sided; None for shares of several samples, and where items belong together
    is_whole: bool  # whether each is right or wrong, and not a share of several samples


def compare_accuracy(ids: Sequence[str], model: Values, baseline: Values, *, are_apart: bool = True) -> Paired:
    """Lists where one of two policies is right more often than the other.

    Args:
        ids: `(N,)` names of the questions.
        model: `(N,)` shares of right answers, 0 or 1 for one sample each.
        baseline: `(N,)` the other's.
        are_apart: Whether each question stands alone, as the test takes it; not where several are of one prompt.
    """
    wins = [name for name, a, b in zip(ids, model, baseline, strict=True) if a > b]
    losses = [name for name, a, b in zip(ids, model, baseline, strict=True) if a < b]
    num_both = int(((model == baseline) & (model > 0)).sum())
    is_whole = all(value in (0, 1) for values in (model, baseline) for value in values)
    p_value = mcnemar(len(wins), len(losses)) if is_whole and are_apart else None
    return Paired(wins, losses, num_both, len(ids) - len(wins) - len(losses) - num_both, p_value, is_whole)
