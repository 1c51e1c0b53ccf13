"""Rewards that compare answers with each other, by hand."""

import pytest

from rewards import AnswerAgreement, FollowsTrace, VoteAgreement

SHOWN = ["iron", "gold", "tin"]
FIXED = ["iron", "gold", "Both A and B"]


@pytest.mark.parametrize(
    ("first", "seconds", "options", "reward"),
    [
        (1, [1, 1], SHOWN, 1.0),
        (1, [1, None, 0, 2], SHOWN, 0.25),
        (1, None, SHOWN, 0.0),  # without a trace nothing is asked again
        (None, None, SHOWN, 0.0),
        (0, [0], FIXED, None),  # what stays in its order says nothing
    ],
)
def test_agreement_of_letters_is_by_content(first, seconds, options, reward):
    given = {"first_choice": [first], "second_choices": [seconds], "options": [options]}
    assert AnswerAgreement()(**given) == [reward]


@pytest.mark.parametrize(
    ("first", "seconds", "reward"),
    [
        ("Paris.", ["paris", "Rome"], 0.5),
        ("Paris", None, None),  # no family changes its prompt
        (None, None, 0.0),
        ("", [None], 0.0),
        ("a", [""], 0.0),
    ],
)
def test_agreement_of_texts(first, seconds, reward):
    assert AnswerAgreement()(first_text=[first], second_texts=[seconds]) == [reward]


def test_agreement_without_a_second_pass_says_what_makes_one():
    with pytest.raises(ValueError, match=r"needs columns that a second pass adds.*`follows_trace` needs"):
        AnswerAgreement()(completions=["Answer: A"], options=[SHOWN])


@pytest.mark.parametrize(
    ("trace", "answer", "reward"),
    [
        ("Iron rusts. So gold.", "B", 1.0),
        ("Iron rusts. So gold.", "gold", 1.0),
        ("Iron rusts. So gold.", "A", 0.0),
        ("Iron rusts. So gold.", "", 0.0),
        ("It is iron or gold.", "A", None),
        ("The answer is B.", "B", None),  # a letter is no content
        ("", "B", None),
    ],
)
def test_a_letter_follows_what_its_trace_states(trace, answer, reward):
    assert FollowsTrace()([f"<think>{trace}</think><answer>{answer}</answer>"], [SHOWN]) == [reward]


def vote(answers, orders=None, *, reward=None, **columns):
    texts = [f"<answer>{each}</answer>" for each in answers]
    return (reward or VoteAgreement())(texts, ["p"] * len(texts), options=orders or [SHOWN] * len(texts), **columns)


def test_a_vote_is_by_content_in_whatever_order_options_stand():
    turned = SHOWN[::-1]
    assert vote("ACB", [SHOWN, turned, SHOWN]) == [1.0, 1.0, 0.0]  # A, and C of the turned ones, are iron
    assert vote(["A", "A", "", "D"]) == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("answers", "is_labelled"),
    [
        ("AB", False),
        ("AAB", True),
        ("A", False),  # would be its own label
        (["", "", ""], False),
    ],
)
def test_what_is_no_label(answers, is_labelled):
    found = vote(answers)
    assert all((each is not None) == is_labelled for each in found)


def test_groups_are_told_apart_by_id_and_texts_by_their_words():
    texts = ["<answer>Paris</answer>", "<answer>paris.</answer>", "<answer>Rome</answer>", "<answer>Rome</answer>"]
    assert VoteAgreement()(texts, ["p"] * 4, id=["a", "a", "b", "b"]) == [1.0] * 4
    assert VoteAgreement()(texts, ["p", "p", "p", "q"]) == [1.0, 1.0, 0.0, None]


def test_second_answers_vote_and_first_ones_are_paid():
    second = VoteAgreement(votes="second")
    assert vote("AB", reward=second, second_choices=[[1, 1], [1, 0]]) == [0.0, 1.0]
    texts = [[" Gold "], ["gold"]]
    assert second(["<answer>gold</answer>"] * 2, ["p"] * 2, second_texts=texts) == [1.0, 1.0]
    with pytest.raises(ValueError, match="needs second answers"):
        vote("AB", reward=second)


def test_settings_that_mean_nothing():
    with pytest.raises(ValueError, match="`votes` must be"):
        VoteAgreement(votes="third")
