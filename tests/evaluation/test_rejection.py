import math

import numpy as np
import pytest

from align.evaluation.statistics.metrics import mean_of_known
from align.models.policies.asking import Completion
from align.services.sampled_filter import FATES, accepts, measure_slips, sort_out

NAN = math.nan


def test_what_becomes_of_each_sample():
    texts = [["a", "b", "a", "a"], ["", " \n", "long", "c"]]
    completions = [[Completion(text, tuple(range(8 if text == "long" else 3))) for text in row] for row in texts]
    accepted = accepts(np.array([[1.0, 0.0, 1.0, NAN], [1.0, 1.0, 1.0, 0.6]]), 0.5)
    assert sort_out(completions, accepted, 8) == [
        ["kept", "rejected", "repeated", "no value"],
        ["empty", "empty", "cut off", "kept"],
    ]
    assert {fate for row in sort_out(completions, accepted, 8) for fate in row} == set(FATES)


def test_a_value_at_the_threshold_is_not_accepted():
    assert accepts(np.array([[0.0, 1e-9, -1.0]]), 0.0).tolist() == [[0, 1, 0]]


def test_pass_rates_leave_out_samples_without_a_value():
    accepted = np.array([[1, 0, 0, 1], [NAN, 1, NAN, 1], [NAN] * 4])
    assert mean_of_known(accepted)[:2].tolist() == [0.5, 1]
    assert math.isnan(mean_of_known(accepted)[2])


def test_slips_by_hand():
    gold = np.array([[1, 0, 0, 0], [1, 1, 0, NAN], [1, 1, 1, 1.0]])
    accepted = np.array([[1, 1, 0, 0], [1, NAN, 1, 1], [1, 1, 1, 0.0]])
    kept = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0]])
    slips = measure_slips(accepted, gold, kept)
    assert slips["false_positive_rate"].value == pytest.approx(2 / 4)
    assert slips["true_positive_rate"].value == pytest.approx(5 / 7)  # the one without a value is not accepted
    assert slips["wrong_among_kept"].value == pytest.approx(2 / 4)  # of one kept sample gold says nothing
    assert slips["right"].value == pytest.approx((1 / 4 + 2 / 3 + 1) / 3)
    assert (slips["false_positive_rate"].n, slips["true_positive_rate"].n) == (2, 3)


def test_nothing_wrong_is_no_rate():
    slips = measure_slips(np.ones((2, 2)), np.ones((2, 2)), np.zeros((2, 2)))
    assert math.isnan(slips["false_positive_rate"].value)
    assert math.isnan(slips["wrong_among_kept"].value)
    assert slips["true_positive_rate"].value == 1
