import pickle
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_recipes import TRAINER

from rewards.reading.responses import ResponseFormat
from rewards.scoring.accuracy import accuracy
from rewards.scoring.consistency import OUTCOMES, AnswerConsistency, answer_consistency, outcome

CHOICES = st.one_of(st.none(), st.integers(0, 3))


@pytest.mark.parametrize(
    ("first", "second", "name", "reward"),
    [
        (2, 2, "both", 1.0),
        (2, 0, "first_only", 0.5),
        (2, None, "first_only", 0.5),
        (1, 2, "second_only", 0.2),
        (None, 2, "second_only", 0.2),
        (1, 1, "neither", 0.0),
        (1, 0, "neither", 0.0),
        (None, None, "neither", 0.0),
    ],
)
def test_the_four_cases_are_worth_the_three_coefficients_and_nothing(first, second, name, reward):
    assert outcome(first, second, gold=2) == name
    assert answer_consistency(first_choice=[first], second_choices=[[second]], answer=[2]) == [reward]


def test_verdicts_on_texts_are_rewarded_like_letters():
    first, second = [True, True, False, False, None, True], [[True], [False], [True], [False], [True], None]
    columns = {"first_right": first, "second_right": second, "answer": ["x"] * 6, "first_choice": [0] * 6}
    assert answer_consistency(**columns) == [1.0, 0.5, 0.2, 0.0, None, 0.5]
    assert answer_consistency(first_right=[True], second_right=[[True, False, True, False]]) == [0.75]


def test_several_second_answers_are_averaged():
    rewards = answer_consistency(first_choice=[1, 0], second_choices=[[1, 2, 1, 1], [1, 0, 1, 0]], answer=[1, 1])
    assert rewards == pytest.approx([(3 * 1.0 + 0.5) / 4, 2 * 0.2 / 4])


@pytest.mark.parametrize("none_made", [None, []])
def test_a_row_without_second_answer_counts_as_wrong_the_second_time(none_made):
    assert answer_consistency(first_choice=[1, 0], second_choices=[none_made] * 2, answer=[1, 1]) == [0.5, 0.0]
    assert answer_consistency(first_choice=[1, 0], answer=[1, 1]) == [0.5, 0.0]


def test_a_row_without_gold_is_skipped():
    assert answer_consistency(first_choice=[1], second_choices=[[1]], answer=[None]) == [None]


VALID = st.tuples(*[st.floats(0, 2)] * 3).filter(lambda c: c[0] >= c[1] and c[0] > c[2])


@given(VALID, CHOICES, st.lists(CHOICES, min_size=1, max_size=4), st.integers(0, 3))
def test_nothing_beats_two_right_answers_and_two_wrong_ones_get_nothing(coefficients, first, seconds, gold):
    reward = AnswerConsistency(*coefficients)
    best = reward(first_choice=[gold], second_choices=[[gold]], answer=[gold])[0]
    value = reward(first_choice=[first], second_choices=[seconds], answer=[gold])[0]
    assert 0 <= value <= best + 1e-12
    if first != gold and gold not in seconds:
        assert value == 0


@given(VALID, st.booleans(), st.lists(CHOICES, min_size=1, max_size=3))
def test_a_second_answer_that_is_not_needed_changes_nothing(coefficients, is_correct, seconds):
    reward = AnswerConsistency(*coefficients)
    first = 1 if is_correct else 0
    with_second = reward(first_choice=[first], second_choices=[seconds], answer=[1])
    without = reward(first_choice=[first], second_choices=[None], answer=[1])
    if not reward.needs_second_answer(is_correct):
        assert with_second == pytest.approx(without)


@pytest.mark.parametrize(
    ("coefficients", "needed_if_right", "needed_if_wrong"),
    [((1, 1, 0), False, False), ((1, 0.5, 0), True, False), ((1, 1, 0.2), False, True), ((1, 0.5, 0.2), True, True)],
)
def test_a_second_answer_is_needed_where_a_coefficient_depends_on_it(coefficients, needed_if_right, needed_if_wrong):
    reward = AnswerConsistency(*coefficients)
    assert reward.needs_second_answer(True) == needed_if_right
    assert reward.needs_second_answer(False) == needed_if_wrong


@given(CHOICES, CHOICES, st.integers(0, 3))
def test_the_neutral_setting_is_accuracy(first, second, gold):
    text = "no answer" if first is None else f"<answer>{'ABCD'[first]}</answer>"
    row = {"completions": [text], "options": [["iron", "gold", "zinc", "tin"]], "answer": [gold]}
    neutral = AnswerConsistency(1, 1, 0)
    assert neutral(**row) == accuracy(**row)
    assert neutral(**row, first_choice=[first], second_choices=[[second]]) == accuracy(**row)


def test_without_a_second_pass_only_the_neutral_setting_can_score():
    row = {"completions": ["<answer>B</answer>"], "options": [["iron", "gold"]], "answer": [1]}
    with pytest.raises(ValueError, match=f"columns `first_choice` and `second_choices`, which `{TRAINER}` adds"):
        answer_consistency(**row)
    with pytest.raises(ValueError, match="needs `completions` and the column `options`"):
        AnswerConsistency(1, 1, 0)(answer=[1])
    tags = ResponseFormat(answer_tag="final")
    assert AnswerConsistency(1, 1, 0, tags)(["<final>B</final>"], options=[["iron", "gold"]], answer=[1]) == [1.0]


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        ((0.5, 1.0, 0.0), "`both` must be at least `first_only`, got 0.5 < 1.0"),
        ((1.0, 0.5, 1.0), "`second_only` must be at least 0 and below `both`, got 1.0 with both=1.0"),
        ((1.0, 0.5, -0.1), "`second_only` must be at least 0"),
        ((float("nan"), 0.5, 0.2), "`both` must be a finite number, got nan"),
        ((1.0, "0.5", 0.2), "`first_only` must be a finite number, got '0.5'"),
        ((1.0, True, 0.2), "`first_only` must be a finite number, got True"),
    ],
)
def test_coefficients_that_reward_the_wrong_thing_are_refused(coefficients, message):
    with pytest.raises(ValueError, match=message):
        AnswerConsistency(*coefficients)


def test_settings_survive_pickling():
    copy = pickle.loads(pickle.dumps(AnswerConsistency(2, 1, 0.5)))
    cases = list(product([0, 1], repeat=2))
    assert [copy(first_choice=[a], second_choices=[[b]], answer=[1])[0] for a, b in cases] == [0.0, 0.5, 1.0, 2.0]
    assert copy.__name__ == "answer_consistency"
    assert set(OUTCOMES) == {outcome(a, b, 1) for a, b in cases}
