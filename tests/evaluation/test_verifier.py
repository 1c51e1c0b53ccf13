import math

import numpy as np
import pytest

from align.evaluation.suites.questions.best_of_n import Rates, ceiling, first_accepted, rates


def test_the_ceiling_equals_a_simulation_that_stops_at_the_first_accepted_answer():
    rng, prior, verifier = np.random.default_rng(0), np.array([0.9, 0.5, 0.02]), Rates(tpr=0.8, fpr=0.15)
    good = rng.random((40_000, 3)) < prior
    taken = rng.random((40_000, 3)) < np.where(good, verifier.tpr, verifier.fpr)
    found = (good & taken).sum(axis=0) / taken.sum(axis=0)
    assert ceiling(prior, verifier) == pytest.approx(found, abs=0.01)
    assert ceiling(np.array([0.0]), Rates(1.0, 0.0)).tolist() == [0.0]  # nothing is ever accepted


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
