from dataclasses import replace

import numpy as np
import pytest
from scripted_policies import (
    AlwaysA,
    ConstantLiar,
    Copier,
    Solver,
    TraceUser,
)
from scripted_run import evaluate, make_questions, values

from align.evaluation.suites.questions.reliance import CONDITIONS

QUESTIONS = make_questions()
CHANGED = [name for name in CONDITIONS if name != "own"]


def first_shown(result):
    """The option that the first shuffle puts at A, for each item."""
    return np.array([item.permutations[0][0] for item in result.items])


def gold(result):
    return np.array([item.gold for item in result.items])


def test_a_solver_is_right_consistent_and_needs_no_trace():
    found = values(evaluate(Solver(), QUESTIONS))
    perfect = ("accuracy", "worst_group", "option_shuffle_consistency_all", "rotation_robust_accuracy")
    assert all(found[name] == 1 for name in perfect)
    assert all(found[f"same_answer/{name}"] == 1 for name in CONDITIONS if name != "other")
    assert np.isnan(found["same_answer/other"])  # every trace is the same, so there is no other one
    assert found["trace_reliance"] == found["letter_in_trace"] == found["answer_in_trace"] == 0
    assert found["trace_stated"] == found["letter_bias"] == 0
    assert np.isnan(found["trace_answer_consistency"])


def test_a_trace_user_follows_its_trace_and_loses_the_answer_with_it():
    result = evaluate(TraceUser(), QUESTIONS)
    found = values(result)
    assert found["accuracy"] == found["option_shuffle_consistency_all"] == found["rotation_robust_accuracy"] == 1
    assert found["trace_answer_consistency"] == found["answer_in_trace"] == found["same_answer/own"] == 1
    assert found["cr_wa"] == found["wr_ca"] == found["letter_in_trace"] == 0
    by_luck = (first_shown(result) == gold(result)).mean()  # without its trace it takes the first option shown
    assert found["same_answer/none"] == found["same_answer/masked"] == pytest.approx(by_luck)
    assert found["trace_reliance"] == pytest.approx(1 - by_luck)
    kept = [found[f"same_answer/corrupted_{percent}"] for percent in (25, 50, 100)]
    assert 1 > kept[0] > kept[1] > kept[2]  # graded


def test_sets_are_right_only_as_a_whole_and_two_policies_are_compared_on_them():
    questions = [replace(question, contrast_set=f"s{i // 2}") for i, question in enumerate(QUESTIONS)]
    always, solver = evaluate(AlwaysA(), questions), evaluate(Solver(), questions)
    right = gold(always) == 0
    both = [right[2 * i] and right[2 * i + 1] for i in range(len(questions) // 2)]
    assert 0 < right.mean() != np.mean(both)
    assert values(always)["set_accuracy"] == np.mean(both)
    difference = solver.suites["accuracy"].differences(always.suites["accuracy"])["set_accuracy"]
    assert (difference.value, difference.n) == (1 - np.mean(both), len(both))
    assert "set_accuracy" not in values(evaluate(Solver(), QUESTIONS))


def test_a_copier_leaks_the_letter_and_follows_it_into_the_wrong_option():
    result = evaluate(Copier(), QUESTIONS)
    found = values(result)
    assert found["accuracy"] == found["letter_in_trace"] == found["letter_or_answer_in_trace"] == 1
    assert found["answer_in_trace"] == 0
    stays = [[order[item.gold] == item.gold for order in item.permutations] for item in result.items]
    assert found["option_shuffle_consistency"] == pytest.approx(np.mean(stays))
    assert found["option_shuffle_consistency_all"] == pytest.approx(np.mean([all(each) for each in stays]))
    assert found["rotation_robust_accuracy"] == found["rotation_consistency"] == 0  # no letter survives a rotation
    assert found["accuracy_from/masked"] == pytest.approx((first_shown(result) == gold(result)).mean())


def test_always_a_is_right_where_a_is_and_biased_by_all_the_others():
    result = evaluate(AlwaysA(), QUESTIONS)
    found = values(result)
    assert found["accuracy"] == found["letter_share/A"] - 0.75 == 0.25
    assert found["letter_bias"] == 0.75
    assert found["rotation_robust_accuracy"] == 0
    orders = [[order[0] == 0 for order in item.permutations] for item in result.items]
    assert found["option_shuffle_consistency"] == pytest.approx(np.mean(orders))
    # Gold at A is in the common group only, which is 3 of 4 questions.
    assert found["accuracy/common"] == pytest.approx(1 / 3)
    assert found["accuracy/counter"] == found["worst_group"] == 0
    assert found["group_gap"] == pytest.approx(1 / 3)


def test_a_constant_liar_is_consistent_and_always_wrong_against_its_own_trace():
    found = values(evaluate(ConstantLiar(), QUESTIONS))
    assert found["accuracy"] == found["rotation_robust_accuracy"] == found["wr_ca"] == 0
    assert found["cr_wa"] == found["trace_stated"] == found["option_shuffle_consistency_all"] == 1
    assert found["trace_answer_consistency"] == found["answer_in_trace"] == found["trace_reliance"] == 0
    assert all(found[f"same_answer/{name}"] == 1 for name in CONDITIONS)


def test_options_that_may_not_move_are_left_out_of_consistency_and_asked_as_written():
    fixed = [replace(each, options=("gold", "iron", "zinc", "both A and B")) for each in QUESTIONS[:4]]
    result = evaluate(TraceUser(), fixed)
    found = values(result)
    assert all(np.isnan(found[name]) for name in ("option_shuffle_consistency", "rotation_robust_accuracy"))
    assert found["same_answer/own"] == 1
    assert found["accuracy_from/none"] == 0.25  # the first option as written


def test_samples_of_a_question_count_as_one_question():
    one = values(evaluate(TraceUser(), QUESTIONS[:8]))
    several = evaluate(TraceUser(), QUESTIONS[:8], num_samples=3)
    assert len(several.items) == 24
    found = values(several)
    same = [name for name in one if not name.endswith("/other")]  # more samples, other donors
    assert [found[name] for name in same] == pytest.approx([one[name] for name in same], nan_ok=True)
    assert several.suites["accuracy"].summary()["accuracy"].n == 8
