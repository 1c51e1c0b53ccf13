import math

import numpy as np
import pytest

from align.evaluation.statistics.metrics import mean_of_differences, wilson
from align.evaluation.suites.questions.answering import ItemResult
from align.evaluation.suites.questions.metrics import (
    accuracy_suite,
    consistency_suite,
    letter_estimates,
    per_question,
    rotation_suite,
)


def item(first, gold=0, second=None, stated=None, group=None, name="q", trace="t"):
    return ItemResult(name, group, gold, first, second, [[1, 0], [1, 0]], trace, "", stated)


def numbers(suite):
    return {name: estimate.value for name, estimate in suite.summary().items()}


ITEMS = [
    item(0, second=[0, 0], stated=0),  # right and consistent
    item(1, second=[1, 0], stated=0),  # CR-WA
    item(0, second=[1, 1], stated=1),  # WR-CA
    item(None, second=None, stated=None),  # no answer
]


def test_consistency_worked_by_hand():
    found = numbers(consistency_suite(ITEMS))
    assert found["option_shuffle_consistency_one"] == pytest.approx((1 + 1 + 0 + 0) / 4)
    assert found["option_shuffle_consistency"] == pytest.approx((1 + 0.5 + 0 + 0) / 4)
    assert found["option_shuffle_consistency_all"] == pytest.approx(1 / 4)
    assert found["trace_answer_consistency"] == found["cr_wa"] == found["wr_ca"] == pytest.approx(1 / 3)
    assert found["trace_stated"] == 3 / 4
    assert found["letter_share/A"] == pytest.approx(2 / 3)
    assert found["letter_bias"] == pytest.approx(1 / 3)  # all gold stand at A


def test_a_judge_reads_traces_in_place_of_their_text():
    found = numbers(consistency_suite(ITEMS, judge_choices=[0, 1, 0, None]))
    assert found["trace_answer_consistency/judge"] == 1
    assert found["cr_wa/judge"] == found["wr_ca/judge"] == 0
    assert found["trace_answer_consistency"] == pytest.approx(1 / 3)


def test_without_a_valid_answer_everything_is_wrong_and_letters_say_nothing():
    nothing = [item(None)] * 3
    assert numbers(accuracy_suite(nothing)) == {"accuracy": 0, "answered": 0}
    found = numbers(consistency_suite(nothing))
    assert found["option_shuffle_consistency"] == 0
    assert math.isnan(found["letter_bias"])
    assert math.isnan(found["cr_wa"])


def test_rotations_ask_for_the_right_answer_in_every_order():
    found = numbers(rotation_suite([item(0)] * 5, [[0, 0], [0, 1], None, [], [1, 1]]))
    assert found["rotation_robust_accuracy"] == 1 / 4  # of the four whose options may move
    assert found["rotation_consistency"] == 1 / 4


def test_samples_are_averaged_before_anything_else():
    samples = [item(0, group="a"), item(1, group="a"), item(0, group="b"), item(0, group="b")]
    suite = accuracy_suite(samples, num_samples=2)
    assert suite.means["accuracy"].groups[0].tolist() == [0.5, 1.0]
    assert numbers(suite)["worst_group"] == 0.5
    assert per_question(np.array([np.nan, np.nan]), 2).tolist() == pytest.approx([np.nan], nan_ok=True)


def test_differences_pair_the_questions():
    better, worse = [item(0)] * 6 + [item(1)] * 4, [item(0)] * 4 + [item(1)] * 6
    differences = accuracy_suite(better).differences(accuracy_suite(worse))
    assert differences["accuracy"].value == pytest.approx(0.2)
    assert differences["accuracy"] == mean_of_differences(np.subtract([1] * 6 + [0] * 4, [1] * 4 + [0] * 6))


def test_a_letter_that_nobody_answered_is_not_certain_to_stay_so():
    found = letter_estimates([item(0)] * 20)
    unseen = wilson(0, 20).high
    assert found["letter_share/A"][:3] == pytest.approx((1, 1 - unseen, 1))
    assert letter_estimates([item(2)] * 20)["letter_share/B"][:3] == pytest.approx((0, 0, unseen))
    assert found["letter_bias"][:3] == pytest.approx((0, 0, unseen))


def test_the_interval_of_a_letters_share_covers_it():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        answers = [item(int(choice)) for choice in rng.random(80) < 0.3]
        estimate = letter_estimates(answers)["letter_share/B"] if any(a.first_choice for a in answers) else None
        covered += estimate is not None and estimate.low <= 0.3 <= estimate.high
    assert covered >= 88  # 95 of 100 less three standard errors
