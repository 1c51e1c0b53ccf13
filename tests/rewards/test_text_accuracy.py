import pytest
from hypothesis import given
from hypothesis import strategies as st

import rewards
from rewards.scoring.text_accuracy import TextAccuracy, normalise_text


def answered(*texts):
    return [f"<think>Hm.</think><answer>{text}</answer>" for text in texts]


def scores(gold, *texts, **settings):
    return TextAccuracy(**settings)(answered(*texts), [gold] * len(texts))


def test_typography_case_and_a_full_stop_do_not_count():
    same = ["paris", " PARIS. ", "**Paris**", '"Paris"', "“Paris.”", "Pa\u200bris", "_Paris_"]
    assert scores("Paris", *same) == [1.0] * len(same)
    assert scores("well-known", "well\u2011known", "Well\u2013known") == [1.0, 1.0]
    assert scores("Zoë", "Zoe\u0308") == [1.0]


def test_everything_else_counts():
    assert scores("C++", "C", "C#", "c++") == [0.0, 0.0, 1.0]
    assert scores("-5", "5") == [0.0]
    assert scores("x²", "x2") == [0.0]
    assert scores("José", "Jose") == [0.0]
    assert scores("José", "Jose", ignore_accents=True) == [1.0]
    assert scores("The Beatles", "Beatles") == [0.0]
    assert scores("The Beatles", "Beatles", "the beatles", ignore_articles=True) == [1.0, 1.0]
    assert scores("The The", "", "the the", ignore_articles=True) == [0.0, 1.0]


@pytest.mark.parametrize(
    "text",
    [
        "Paris or London",
        "Paris, London",
        "London",
        "not Paris",
        "Paris, no: London",
        "The answer is Paris",
        "Paris\nLondon",
        "Paris.</answer><answer>London",
        "",
        " . ",
        '""',
    ],
)
def test_several_texts_a_longer_text_and_no_text_earn_nothing(text):
    assert scores("Paris", text) == [0.0]


def test_a_row_may_accept_several_texts():
    assert scores(["NYC", "New York"], "nyc", "new york", "NYC New York") == [1.0, 1.0, 0.0]


def test_rows_without_gold_are_skipped_and_other_kinds_refused():
    completions = answered("Paris") * 4
    assert rewards.text_accuracy(completions, [None, "", " ", []]) == [None] * 4
    for gold in (2, {"a": "b"}, ["a", 3]):
        with pytest.raises(TypeError, match="`answer` must hold a text or a list of accepted texts"):
            rewards.text_accuracy(completions[:1], [gold])


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing_and_a_text_equals_itself(text):
    once = normalise_text(text)
    assert normalise_text(once) == once
    if once and "<" not in text and ">" not in text:
        assert scores(text, text) == [1.0]


@given(st.text("ab .'*", max_size=12), st.text("ab .'*", max_size=12))
def test_an_answer_earns_only_if_its_letters_are_those_of_the_reference(gold, text):
    if scores(gold, text) == [1.0]:
        assert [c for c in gold if c in "ab"] == [c for c in text if c in "ab"]


def test_long_answers_are_read_quickly():
    assert scores("Paris", "Paris " * 20_000, '"' * 100_000, "*" * 100_000, "." * 100_000) == [0.0] * 4
