import pytest
from hypothesis import given
from hypothesis import strategies as st
from trl.rewards import get_soft_overlong_punishment

import rewards
from rewards.reading.responses import ResponseFormat
from rewards.scoring.accuracy import Accuracy
from rewards.scoring.format import Format
from rewards.scoring.length import Length

GOOD = "<think>Iron rusts.</think><answer>B</answer>"
TEXTS = [GOOD, "<think>a</think><answer>A</answer>", "Answer: gold", "<answer>A</answer><answer>B</answer>", "D", ""]
OPTIONS = [["iron", "gold"]] * len(TEXTS)


def messages(texts):
    return [[{"role": "assistant", "content": text}] for text in texts]


def test_accuracy_rewards_the_one_right_answer():
    scores = rewards.accuracy(completions=TEXTS, options=OPTIONS, answer=[1] * len(TEXTS), id=["x"] * len(TEXTS))
    assert scores == [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]


def test_format_rewards_form_whatever_the_answer():
    assert rewards.format(completions=TEXTS, answer=[1] * len(TEXTS)) == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_accuracy_reads_indices_and_letters_and_skips_rows_without_gold():
    assert rewards.accuracy([GOOD] * 4, [["iron", "gold"]] * 4, [None, 1, "B", "A"]) == [None, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("gold", ["C", "AB", "gold", "b", "", True, 1.0])
def test_accuracy_refuses_what_names_no_option(gold):
    with pytest.raises(TypeError, match="`answer` must hold 0-based indices into `options`, or letters, got"):
        rewards.accuracy([GOOD], OPTIONS[:1], [gold])
    with pytest.raises(TypeError, match="got 'B'"):
        rewards.accuracy([GOOD], [["B", "A"]], ["B"])  # the first option, or the second?


def test_tags_are_the_rewards_own():
    tags = ResponseFormat("reason", "final")
    text = "<reason>a</reason><final>B</final>"
    assert Accuracy(tags)([text], OPTIONS[:1], [1]) == [1.0]
    assert Format(tags)([text]) == [1.0]
    assert rewards.accuracy([text], OPTIONS[:1], [1]) == rewards.format([text]) == [0.0]


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 100))
def test_length_in_tokens_is_trls_soft_overlong_punishment(max_length, margin, length):
    margin = min(margin, max_length)
    ids = [[7] * length]
    expected = get_soft_overlong_punishment(max_length, margin)(completion_ids=ids)
    assert Length(max_length, margin)([""], completion_ids=ids) == pytest.approx(expected)


def test_length_is_equation_13_of_dapo_with_its_numbers():
    """L_max = 20480 tokens, L_cache = 4096: no punishment up to 16384."""
    lengths = {1: 0.0, 16384: 0.0, 16385: -1 / 4096, 18432: -0.5, 20479: -4095 / 4096, 20480: -1.0, 20481: -1.0}
    ids = [[7] * length for length in lengths]
    assert Length(20480, 4096)([""] * len(ids), completion_ids=ids) == list(lengths.values())


def test_length_in_characters_counts_the_text():
    reward = Length(max_length=10, margin=4, unit="characters")
    texts = ["x" * 6, "x" * 7, "x" * 10, "x" * 11]
    assert reward(texts) == reward(messages(texts), completion_ids=[[1]] * 4) == [0.0, -0.25, -1.0, -1.0]


def test_length_needs_what_it_counts():
    with pytest.raises(ValueError, match="needs `completion_ids`"):
        Length(10)(["text"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 0}, "`max_length` must be at least 1"),
        ({"max_length": 5, "margin": 6}, "between 0 and `max_length`"),
        ({"max_length": "5"}, "must be a whole number of tokens, got '5'"),
        ({"max_length": 5, "unit": "words"}, "one of tokens, characters"),
    ],
)
def test_lengths_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Length(**settings)
