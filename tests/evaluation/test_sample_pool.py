import math

import numpy as np
import pytest
from scripted_policies import AlwaysA, Solver, TraceUser
from scripted_run import evaluate, make_questions

from align.evaluation.statistics.item_means import ratio_of_means
from align.evaluation.statistics.metrics import all_equal
from align.evaluation.suites.questions.best_of_n import (
    Rates,
    SamplePool,
    audit,
    best_of_n_metrics,
    curve,
    jackknifed_ceiling,
)

CORRECT = np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]])
PROXY = np.array([[0.2, 0.9, 0.9, 0.9], [0.1, 0.1, 0.1, 0.1], [0.5, 0.4, 0.8, 0.1]])


def pool(correct=CORRECT, proxy=PROXY, threshold=0.45):
    return SamplePool(correct, proxy, (proxy > threshold).astype(float))


def test_the_curve_equals_monte_carlo_with_ties_broken_at_random():
    metrics = best_of_n_metrics(pool())
    rng = np.random.default_rng(0)
    for n in (1, 2, 4):
        drawn = rng.permuted(np.tile(np.arange(4), (4000, 3, 1)), axis=2)[..., :n]
        scores = np.take_along_axis(np.broadcast_to(PROXY, (4000, *PROXY.shape)), drawn, axis=2)
        first = (scores == scores.max(axis=2, keepdims=True)).argmax(axis=2)  # of the best, in a random order
        best = np.take_along_axis(drawn, first[..., None], axis=2)
        found = np.take_along_axis(np.broadcast_to(CORRECT, (4000, *CORRECT.shape)), best, axis=2)[..., 0].mean(axis=0)
        assert metrics[f"best_of_{n}"].groups[0] == pytest.approx(found, abs=0.03)


def test_ends_of_the_curve_by_hand():
    found = {name: metric.estimate().value for name, metric in best_of_n_metrics(pool()).items()}
    assert found["best_of_1"] == found["sampled_accuracy"] == pytest.approx((2 + 0 + 3) / 12)
    assert found["best_of_4"] == pytest.approx((1 / 3 + 0 + 0) / 3)  # three tie, one of them right; none; a wrong one
    assert found["best_of_4/proxy"] == pytest.approx((0.9 + 0.1 + 0.8) / 3)
    assert found["best_of_4/oracle"] == pytest.approx(2 / 3)
    assert [point.n for point in curve(best_of_n_metrics(pool()), 4)] == [1, 2, 4]


def test_all_ties_choose_at_random():
    metrics = best_of_n_metrics(pool(proxy=np.ones((3, 4))))
    assert metrics["best_of_4"].groups[0] == pytest.approx(CORRECT.mean(axis=1))


def test_the_audit_by_hand():
    found = audit(pool())
    assert found.true_positive_rate.value == pytest.approx(2 / 5)
    assert found.false_positive_rate.value == pytest.approx(3 / 7)
    assert found.prior.value == pytest.approx(5 / 12)
    assert found.ceiling.value == pytest.approx(jackknifed_ceiling(4, Rates(2 / 5, 3 / 7))[[2, 0, 3]].mean())
    assert found.ceiling.low < found.ceiling.value < found.ceiling.high
    assert [each.cost for each in found.optimal_attempts] == [0.0, 0.5, 1.0, 2.0, 4.0]


def test_an_audit_without_a_wrong_answer_says_so():
    found = audit(pool(correct=np.ones((3, 4))))
    assert math.isnan(found.false_positive_rate.value)
    assert math.isnan(found.ceiling.value)
    assert found.optimal_attempts == []


def test_rates_of_few_questions_claim_little_and_those_of_like_ones_not_everything():
    correct = np.zeros((200, 8))
    correct[7, :6] = 1  # one question is solved
    accepted = np.zeros((200, 8))
    accepted[7, :3] = 1
    rate = audit(SamplePool(correct, accepted, accepted)).true_positive_rate
    assert (rate.value, rate.n) == (0.5, 1)
    assert rate.low < 0.1
    assert rate.high > 0.9
    half = ratio_of_means(np.ones(50), np.full(50, 2.0))
    assert half[:3] == pytest.approx(all_equal(0.5, 50)[:3])
    assert half.low < 0.47 < 0.53 < half.high
    assert half.n == 50


def test_the_ratios_interval_covers_it_with_dependent_samples():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(150):
        share = rng.beta(1, 1, size=60)
        accepted = (rng.random((60, 4)) < share[:, None]).astype(float)
        estimate = ratio_of_means(accepted.sum(axis=1), np.full(60, 4.0))
        covered += estimate.low <= 0.5 <= estimate.high
    assert covered >= 150 * 0.95 - 3 * np.sqrt(150 * 0.95 * 0.05)


def test_scripted_policies_have_the_curves_known_in_advance():
    questions = make_questions(12)
    settings = {"suites": ("best_of_n",), "num_samples": 4}
    solver = evaluate(Solver(), questions, **settings)
    assert [point.gold.value for point in solver.curve] == [1, 1, 1]
    assert solver.audit.true_positive_rate.value == 1
    assert solver.columns["accepted"] == [True] * 48
    always = evaluate(AlwaysA(), questions, **settings)
    assert [point.gold.value for point in always.curve] == [0.25] * 3  # its samples are all the same
    assert evaluate(TraceUser(), questions, **settings).curve[-1].proxy.value == 1
