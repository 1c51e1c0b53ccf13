import math

import numpy as np
import pytest
from scripted_policies import ScriptedPolicy, Solver
from scripted_run import evaluate, make_questions

from align.evaluation.asking import Asker
from align.evaluation.statistics.item_means import clustered_share
from align.evaluation.suites.questions.best_of_n import (
    answer_above_threshold,
    answer_if_accepted,
    lowest_threshold,
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


def test_the_lowest_threshold_by_hand():
    scores, right = np.array([5.0, 4.0, 4.0, 3.0, 1.0]), np.array([1.0, 1.0, 0.0, 1.0, 0.0])
    assert lowest_threshold(scores, right, 0.75) == 3
    assert lowest_threshold(scores, right, 0.8) == 5  # from 4 on it is 2/3
    assert lowest_threshold(scores, right, 0.6) == 1
    assert lowest_threshold(scores[1:], right[1:], 0.8) is None
    assert lowest_threshold(scores[:0], right[:0], 0.8) is None


def test_a_threshold_is_set_on_one_half_and_measured_on_the_other():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20, 400, 1))
    correct = (rng.random(scores.shape) < chance(scores)).astype(float)
    for precision in (0.8, 0.9):
        rules = [answer_above_threshold(*each, precision) for each in zip(correct, scores, strict=True)]
        true = [chance(scores[scores >= each.threshold]).mean() for each in rules]
        covered = sum(
            each.accuracy.low <= value <= each.accuracy.high for each, value in zip(rules, true, strict=True)
        )
        assert covered >= 17  # of 20
        assert {each.calibrated_on for each in rules} == {200}
        assert np.mean(true) == pytest.approx(precision, abs=0.02)
        reached = [(scores >= each.threshold).mean() for each in rules]
        assert [each.coverage.value for each in rules] == pytest.approx(reached, abs=0.1)


def chance(scores):
    """The chance that an answer with this score is right, of a verifier that knows something."""
    return 1 / (1 + np.exp(-3 * scores))


def test_a_score_that_knows_nothing_promises_on_one_half_what_it_does_not_keep_on_the_other():
    rng = np.random.default_rng(1)
    correct = (rng.random((20, 100, 1)) < 0.5).astype(float)
    rules = [answer_above_threshold(each, rng.normal(size=(100, 1)), 0.9) for each in correct]
    kept = [each.accuracy.value for each in rules if each.accuracy.n]
    assert len(kept) >= 5  # a few lucky scores at the top give a threshold
    assert np.mean(kept) < 0.75


def test_equal_scores_are_chosen_from_at_random_and_no_threshold_answers_nothing():
    correct, scores = np.tile([[1.0, 0.0]], (8, 1)), np.ones((8, 2))
    assert answer_above_threshold(correct, scores, 0.5).accuracy.value == 0.5
    rule = answer_above_threshold(correct, scores, 0.6)
    assert (rule.threshold, rule.coverage.value) == (None, 0)
    assert math.isnan(rule.accuracy.value)
    assert answer_above_threshold(correct[:1], scores[:1], 0.5).threshold is None  # nothing to calibrate on


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
    assert all(each.threshold is None or each.accuracy.n < 40 for each in fooled.above_threshold)

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
    assert [(each.threshold, each.accuracy.value) for each in sound.above_threshold] == [(1, 1)] * 3
    assert [each.up_to for each in evaluate(Solver(), questions, **settings).audit.by_difficulty] == [1]
