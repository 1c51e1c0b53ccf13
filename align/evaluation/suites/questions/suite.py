"""Runs the suites that are asked for on one policy; the best of n is after "Inference Scaling fLaws" (2411.17501)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from align.data.questions.multiple_choice import Question
from align.errors import UserError
from align.evaluation.asking import Asker
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Values, option_shuffle_consistency
from align.evaluation.suite import Measured
from align.evaluation.suites.questions.answering import ItemResult, Judge, answer_questions, rotations, second_answers
from align.evaluation.suites.questions.metrics import (
    accuracy_suite,
    by_question,
    consistency_suite,
    correct,
    rotation_suite,
)
from align.evaluation.suites.questions.modality import modality_values, probe_images
from align.evaluation.suites.questions.reliance import leaks, probe_traces, reliance_values
from align.evaluation.suites.reward_model.best_of_n import expected_best_of_n, points
from align.models.policies.asking import Decoding

SUITES = ("accuracy", "consistency", "rotation", "reliance", "modality", "best_of_n")
DEFAULT_SUITES = SUITES[:4]
MODALITY = "modality"  # measured by default where questions have images


def check_names(names: Sequence[str]) -> None:
    """Checks that there are suites of these names."""
    unknown = [name for name in names if name not in SUITES]
    if unknown or not names:
        raise UserError(f"`suite` must be some of {', '.join(SUITES)}, got {unknown or 'none'}.")


Verifier = Callable[[Sequence[Question], Sequence[str]], Values]  # scores responses to questions


@dataclass(frozen=True)
class SuiteSettings:
    """What is measured, and how."""

    suites: tuple[str, ...] = DEFAULT_SUITES
    decoding: Decoding = field(default_factory=Decoding)  # of first answers
    num_shuffles: int = 4  # M, shuffles of the options
    seed: int = 0  # of shuffles and of changes to traces

    def __post_init__(self) -> None:
        check_names(self.suites)
        if len(set(self.suites)) < len(self.suites):
            raise UserError(f"`suite` names each suite once, got {', '.join(self.suites)}.")
        if self.num_shuffles < 1:
            raise UserError(f"`num_shuffles` must be at least 1, got {self.num_shuffles}.")
        if "best_of_n" in self.suites and self.decoding.num_samples < 2:
            raise UserError(
                f"The suite best_of_n chooses among samples, got `num_samples` = {self.decoding.num_samples}. Give "
                "`--num_samples 8 --temperature 1.0`, or so."
            )


@dataclass(frozen=True)
class PolicyResult:
    """What one policy answered, and what follows."""

    items: list[ItemResult]  # `(N * S,)`, the S samples of a question next to each other
    columns: dict[str, list[Any]]  # `(N * S,)` more of each answer, by name; which ones depends on the suites
    suites: dict[str, Measured]


def evaluate_suites(
    asker: Asker,
    questions: Sequence[Question],
    settings: SuiteSettings,
    *,
    judge: Judge | None = None,
    verifier: Verifier | None = None,
) -> PolicyResult:
    """Measures one policy; without a verifier a sample's score is the share of shuffles that it survives."""
    num_samples = settings.decoding.num_samples
    asks_again = not {"consistency", "reliance", "best_of_n"}.isdisjoint(settings.suites)
    items, firsts = answer_questions(
        asker, questions, settings.decoding, num_shuffles=settings.num_shuffles * asks_again, seed=settings.seed
    )
    asked = [question for question in questions for _ in range(num_samples)]
    columns: dict[str, list[Any]] = {}
    suites: dict[str, Measured] = {}
    for suite in settings.suites:
        if suite == "accuracy":
            suites[suite] = accuracy_suite(items, num_samples, [question.contrast_set for question in questions])
        elif suite == "consistency":
            if judge is not None:
                columns["judge_choice"] = judge(asked, [item.trace for item in items])
            suites[suite] = consistency_suite(items, num_samples, judge_choices=columns.get("judge_choice"))
        elif suite == "rotation":
            orders = [rotations(question) for question in asked]
            columns["rotations"] = [[list(order) for order in each] for each in orders]
            columns["rotation_choices"] = second_answers(asker, asked, firsts, orders, stage="rotated options")
            suites[suite] = rotation_suite(items, columns["rotation_choices"], num_samples)
        elif suite == "reliance":
            columns |= probe_traces(asker, asked, items, firsts, settings.seed) | leaks(asked, items)
            suites[suite] = by_question(reliance_values(items, columns), num_samples)
        elif suite == MODALITY:
            columns |= probe_images(asker, questions, items, settings.decoding, settings.seed)
            suites[suite] = by_question(modality_values(items, columns), num_samples)
        elif suite == "best_of_n":
            pool = _pool(asked, items, num_samples, verifier)
            columns["proxy"] = pool.proxy.ravel().tolist()
            suites[suite] = Measured(best_of_n_metrics(pool))
    return PolicyResult(items, columns, suites)


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


def _pool(
    questions: Sequence[Question], items: Sequence[ItemResult], num_samples: int, verifier: Verifier | None
) -> SamplePool:
    def table(values: Values) -> Values:
        return values.reshape(-1, num_samples)

    if verifier is None:
        answered = np.array([float(item.first_choice is not None) for item in items])
        survived = option_shuffle_consistency(
            [item.first_choice for item in items], [item.second_choices for item in items]
        )
        proxy = np.where(np.isnan(survived), answered, survived)  # options that stay in place stay the same
        return SamplePool(table(correct(items)), table(proxy))
    scores = verifier(questions, [item.completion for item in items])
    return SamplePool(table(correct(items)), table(scores), bounds=None)
