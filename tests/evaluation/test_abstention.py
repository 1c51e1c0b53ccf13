import math

import numpy as np
import pytest
from scripted_policies import ScriptedPolicy, Solver
from scripted_run import evaluate, make_questions

from align.evaluation.asking import Asker
from align.evaluation.statistics.item_means import clustered_share
from align.evaluation.suites.questions.best_of_n import (
    answer_if_accepted,
    rates_by_difficulty,
)
from align.evaluation.suites.questions.suite import SuiteSettings, Verifier, evaluate_suites
from align.models.policies.asking import Decoding

CORRECT = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1.0]])
ACCEPTED = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1.0]])


def test_rates_by_difficulty_by_hand():
    found = rates_by_difficulty(CORRECT, ACCEPTED)
    assert [(each.above, each.up_to, each.questions) for each in found] == [
        (0, 0, 1), (0, 0.25, 1), (0.25, 0.5, 1), (0.5, 0.75, 1), (1, 1, 1),
    ]  # fmt: skip
    false = [each.false_positive_rate.value for each in found]
    assert false[:4] == pytest.approx([2 / 4, 1 / 3, 0, 0])
    assert math.isnan(false[4])  # nothing is wrong there
    right = [each.true_positive_rate.value for each in found]
    assert math.isnan(right[0])
    assert right[1:] == pytest.approx([1, 1 / 2, 1, 3 / 4])
    wide = found[0].false_positive_rate  # four samples of one question are one observation
    assert (wide.n, wide.high - wide.low > 0.8) == (1, True)


def test_what_is_answered_within_some_attempts_by_hand():
    one = answer_if_accepted(CORRECT, ACCEPTED, 1)
    assert one.coverage.value == pytest.approx(np.mean([2, 2, 1, 3, 3]) / 4)
    assert one.accuracy.value == pytest.approx((0 + 1 + 1 + 3 + 3) / 11)
    every = answer_if_accepted(CORRECT, ACCEPTED, 4)  # each question has an accepted sample
    assert every.coverage.value == 1
    assert every.accuracy.value == pytest.approx((0 + 1 / 2 + 1 + 1 + 1) / 5)
    # The first question within two of four, two of them accepted, both wrong: 1 - C(2, 2) / C(4, 2).
    two = answer_if_accepted(CORRECT[:1], ACCEPTED[:1], 2)
    assert (two.coverage.value, two.accuracy.value) == (pytest.approx(5 / 6), 0)
    none = answer_if_accepted(CORRECT, np.zeros((5, 4)), 4)
    assert none.coverage.value == 0
    assert math.isnan(none.accuracy.value)


@pytest.mark.parametrize("clusters", [3, 8, 40])
def test_the_share_of_clustered_samples_covers_the_true_one(clusters):
    rng, covered = np.random.default_rng(1), 0
    for _ in range(100):
        whole = rng.integers(1, 9, size=clusters).astype(float)
        part = rng.binomial(whole.astype(int), rng.beta(0.3, 0.7, size=clusters)).astype(float)
        found = clustered_share(part, whole)
        covered += found.low <= 0.3 <= found.high
    assert covered >= 100 * 0.95 - 3 * np.sqrt(100 * 0.95 * 0.05)


class Alternating(ScriptedPolicy):
    """Is right in the samples of every other question, and wrong in those of the rest."""

    def think(self, question):
        return f"It is {question.options[self._choice(question)]}."

    def answer(self, question, order, trace):
        return list(order).index(self._choice(question))

    def _choice(self, question):
        return (question.answer + int(question.id[1:]) % 2) % len(question.options)


def test_scripted_policies_under_verifiers_known_in_advance():
    questions = make_questions(40)
    settings = {"suites": ("best_of_n",), "num_samples": 4}
    # The shuffles survived accept whatever is stable: every wrong answer of this policy.
    fooled = evaluate(Alternating(), questions, **settings).audit
    assert [(each.questions, each.up_to) for each in fooled.by_difficulty] == [(20, 0), (20, 1)]
    assert fooled.by_difficulty[0].false_positive_rate.value == fooled.if_accepted[0].coverage.value == 1
    assert [each.accuracy.value for each in fooled.if_accepted] == [0.5] * 3

    def knows(asked, responses):
        return np.array([float(int(question.id[1:]) % 2 == 0) for question in asked])

    decoding = Decoding(num_samples=4, temperature=1.0)
    sound = evaluate_suites(
        Asker(Alternating()),
        questions,
        SuiteSettings(suites=("best_of_n",), decoding=decoding),
        verifier=Verifier("knows", knows, 0.5),
    ).audit
    assert sound.by_difficulty[0].false_positive_rate.value == 0
    assert [(each.coverage.value, each.accuracy.value) for each in sound.if_accepted] == [(0.5, 1)] * 3
    assert [each.up_to for each in evaluate(Solver(), questions, **settings).audit.by_difficulty] == [1]
