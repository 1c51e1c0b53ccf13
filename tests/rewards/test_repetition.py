import pytest
from hypothesis import given
from hypothesis import strategies as st
from trl.rewards import get_repetition_penalty_reward

from rewards.scoring.repetition import Repetition


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 5), st.floats(-2, 0))
def test_with_tokens_it_is_trls_repetition_penalty(ids, ngram_size, max_penalty):
    expected = get_repetition_penalty_reward(ngram_size, max_penalty)([ids])
    assert Repetition(ngram_size, max_penalty)([""], completion_ids=[ids]) == pytest.approx(expected)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 5))
def test_the_penalty_stays_within_its_bounds_and_a_copy_never_lowers_it(ids, ngram_size):
    once, twice = Repetition(ngram_size)(["", ""], completion_ids=[ids, ids + ids])
    assert -1 < twice <= 0
    if len(ids) >= ngram_size:
        assert twice <= once + 1e-12


def test_words_ignore_case_and_the_punctuation_around_them():
    reward = Repetition(ngram_size=2, unit="words")
    message = [{"role": "assistant", "content": "It is so. It is, SO it is!"}]
    assert reward(["one two three", message, "", "***"]) == pytest.approx([0.0, -4 / 7, 0.0, 0.0])


def test_tokens_need_token_ids():
    with pytest.raises(ValueError, match="needs `completion_ids`"):
        Repetition()(["text"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ngram_size": 0}, "`ngram_size` must be a whole number, at least 1; got 0"),
        ({"ngram_size": 2.0}, "got 2.0"),
        ({"max_penalty": 1.0}, "at most 0, got 1.0. Write -1.0"),
        ({"max_penalty": float("-inf")}, "must be finite"),
        ({"max_penalty": "x"}, "must be a number"),
        ({"unit": "characters"}, "one of tokens, words"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Repetition(**settings)
