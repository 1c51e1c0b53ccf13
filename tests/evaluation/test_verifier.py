import math

import numpy as np
import pytest

from align.evaluation.suites.questions.best_of_n import (
    Rates,
    ceiling,
    first_accepted,
    optimal_attempts,
    rates,
    try_until_accepted,
    utility,
)

PRIOR = np.array([0.9, 0.5, 0.02, 0.0])
VERIFIER = Rates(tpr=0.8, fpr=0.15)


def simulate(prior, verifier, attempts, rng, repeats=40_000):
    """Answers each item up to `attempts` times and stops at the first answer that is accepted."""
    right, wrong = np.zeros(len(prior)), np.zeros(len(prior))
    for i, p in enumerate(prior):
        good = rng.random((repeats, attempts)) < p
        accepted = rng.random((repeats, attempts)) < np.where(good, verifier.tpr, verifier.fpr)
        first = accepted.argmax(axis=1)
        found = accepted.any(axis=1)
        chosen = good[np.arange(repeats), first]
        right[i], wrong[i] = (found & chosen).mean(), (found & ~chosen).mean()
    return right, wrong


@pytest.mark.parametrize("attempts", [1, 3, 10])
def test_formulas_equal_a_simulation_that_stops_at_the_first_accepted_answer(attempts):
    right, wrong = simulate(PRIOR, VERIFIER, attempts, np.random.default_rng(attempts))
    tried = try_until_accepted(PRIOR, VERIFIER, attempts)
    assert tried.right == pytest.approx(right, abs=0.01)  # four standard errors of 40,000 repeats
    assert tried.wrong == pytest.approx(wrong, abs=0.01)


def test_survival_holds_the_prior_and_not_the_posterior():
    # By hand: p = 0.5, tpr = 1, fpr = 0.5, so an attempt is accepted with 0.75. The posterior of an accepted answer is
    # 2/3, and 1 - (1 - 2/3)^2 or the like would give another number.
    tried = try_until_accepted(np.array([0.5]), Rates(1.0, 0.5), 2)
    assert tried.right[0] == pytest.approx(0.5 + 0.25 * 0.5)
    assert tried.wrong[0] == pytest.approx(0.25 + 0.25 * 0.25)


def test_unlimited_attempts_reach_the_ceiling():
    tried = try_until_accepted(PRIOR, VERIFIER, 100_000)
    assert tried.right == pytest.approx(ceiling(PRIOR, VERIFIER))
    assert ceiling(np.array([0.0]), Rates(1.0, 0.0)).tolist() == [0.0]  # nothing is ever accepted


@pytest.mark.parametrize("cost", [0.0, 0.5, 1.0, 2.0, 4.0, 50.0])
@pytest.mark.parametrize("prior", [PRIOR, np.array([0.3]), np.array([0.9, 0.01]), np.array([0.0, 0.0])])
def test_the_optimum_is_the_best_of_all_numbers_of_attempts(prior, cost):
    found = optimal_attempts(prior, VERIFIER, cost)
    worth = [utility(prior, VERIFIER, attempts, cost) for attempts in range(400)]
    if found is None:  # it goes on growing
        assert worth[-1] == pytest.approx(max(worth))
        assert max(worth) > 0
    else:
        assert worth[found] == pytest.approx(max(worth))


def test_the_optimum_by_hand():
    # A perfect verifier never lets a wrong answer through, so more attempts always pay; a costly slip never does.
    assert optimal_attempts(np.array([0.5, 0.1]), Rates(1.0, 0.0), cost=100.0) is None
    assert optimal_attempts(np.array([0.01]), VERIFIER, cost=1.0) == 0
    assert optimal_attempts(np.array([0.9, 0.01]), Rates(0.9, 0.1), cost=1.0) == 2
    assert optimal_attempts(np.array([0.5]), Rates(0.1, 0.9), cost=1.0) == 0  # worse than a coin
    assert optimal_attempts(np.array([0.99]), Rates(0.1, 0.9), cost=0.0) is None


def test_rates_of_nothing_are_not_numbers():
    assert rates([True, False, False], [True, True, False]) == (1.0, 0.5)
    assert math.isnan(rates([True], [True]).fpr)
    assert math.isnan(rates([False], [True]).tpr)


@pytest.mark.parametrize("attempts", range(7))
def test_the_pools_first_accepted_answer_equals_its_orders(attempts):
    correct = [True, False, False, True, False, True]
    accepted = [True, True, False, False, False, True]
    rng = np.random.default_rng(0)
    ends = np.zeros(2)
    for _ in range(20_000):
        order = rng.permutation(6)[:attempts]
        first = next((i for i in order if accepted[i]), None)
        if first is not None:
            ends[0 if correct[first] else 1] += 1
    assert first_accepted(correct, accepted, attempts) == pytest.approx(ends / 20_000, abs=0.015)


def test_nothing_accepted_is_no_answer_and_too_many_attempts_are_refused():
    assert first_accepted([True, False], [False, False], 2) == (0.0, 0.0)
    with pytest.raises(ValueError, match="between 0 and the 2 answers, got 3"):
        first_accepted([True, False], [True, False], 3)
