import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.reading.traces import mask_answers, names_letter, quotes_answer, scrub_letters, stated_choice

OPTIONS = ["iron", "gold", "iron oxide", "3.5 kg"]


@pytest.mark.parametrize(
    ("trace", "choice"),
    [
        ("It is gold.", 1),
        ("Iron rusts. Gold does not. So GOLD!", 1),
        ("Gold is soft. It must be iron", 0),
        ("It forms iron oxide.", 2),
        ("Iron becomes iron  oxide? No: iron.", 0),
        ("It weighs 3.5 kg.", 3),
        ("Not gold. It is iron.", 0),
        ("It is iron, not gold.", 0),
        ("It isn't the gold but iron.", 0),
        ("Iron rather than gold.", 0),
        ("Iron or gold.", None),
        ("It could be iron; or gold\nHard to say.", 1),
        ("The answer is B.", None),
        ("goldsmith and ironing", None),
        ("It is not gold.", None),
        ("", None),
        (None, None),
    ],
)
def test_the_option_stated_last_is_found(trace, choice):
    assert stated_choice(trace, OPTIONS) == choice


@pytest.mark.parametrize("trace", ["Answer:" + 60_000 * " " + "7", 10_000 * "The answer is iron oxide. "])
def test_a_trace_that_runs_on_is_read_in_no_time(trace):
    began = time.process_time()
    assert not names_letter(trace, len(OPTIONS))
    assert stated_choice(trace, OPTIONS) == (2 if "iron" in trace else None)
    assert time.process_time() - began < 10  # seconds; searches that go back take minutes


def test_options_with_the_same_text_are_a_tie():
    assert stated_choice("It is gold.", ["gold", "Gold"]) is None


@given(st.permutations(["iron", "gold", "zinc", "tin"]), st.integers(0, 3))
def test_the_stated_option_does_not_depend_on_the_order(options, place):
    trace = f"I compare {', '.join(options)}. In the end {options[place]}."
    assert stated_choice(trace, options) == place


NAMED = [
    "The answer is B.",
    "so option C fits",
    "choice (A)",
    "(B) looks right",
    "Answer: D",
    "I would say letter B",
    "so B.",
    "Therefore, C",
    "options A",
    "It's B",
    "B. gold\nA. iron",
    "the correct choice is **B**",
    "The answer would be A.",
    "The answer is option B",
]
NOT_NAMED = [
    "Vitamin C is an acid.",
    "A cat is here.",
    "So I think it is gold.",
    "so A cat",
    "I am sure",
    "Group A elements",
    "B cells",
    "the answer is a metal",
    "the answer is A metal",
    "Plan B",
    "hepatitis B",
    "the answer is gold",
    "",
    None,
    "The answer is Z.",
]


@pytest.mark.parametrize("trace", NAMED)
def test_a_trace_that_names_a_letter_is_noticed(trace):
    assert names_letter(trace, 4)


@pytest.mark.parametrize("trace", NOT_NAMED)
def test_ordinary_capitals_are_no_letters(trace):
    assert not names_letter(trace, 4)


def test_only_letters_that_are_shown_count():
    assert names_letter("The answer is E.", 5)
    assert not names_letter("The answer is E.", 4)


@pytest.mark.parametrize(
    ("trace", "scrubbed"),
    [
        ("The answer is B.", "The answer is gold."),
        ("Option (A) rusts, option B does not.", "Option iron rusts, option gold does not."),
        ("The answer is B) gold.", "The answer is gold."),
        ("So (C) iron oxide fits.", "So iron oxide fits."),
        ("Vitamin C. A cat.", "Vitamin C. A cat."),
        ("(A) goldsmith", "iron goldsmith"),
    ],
)
def test_letters_are_replaced_by_what_they_stand_for(trace, scrubbed):
    assert scrub_letters(trace, OPTIONS) == scrubbed


@given(
    st.lists(st.sampled_from([*(name for name in NAMED), "It rusts. ", "Vitamin C. ", "\n"]), max_size=6).map(" ".join)
)
def test_a_scrubbed_trace_names_no_letter(trace):
    scrubbed = scrub_letters(trace, ["iron", "gold", "zinc", "tin"])
    assert not names_letter(scrubbed, 4)
    assert scrub_letters(scrubbed, ["iron", "gold", "zinc", "tin"]) == scrubbed


def test_the_right_answer_is_quoted_as_whole_words():
    assert quotes_answer("it may be IRON  oxide", OPTIONS, answer=2)
    assert quotes_answer("it may be iron oxide", OPTIONS, answer=0)
    assert not quotes_answer("goldsmith", OPTIONS, answer=1)
    assert not quotes_answer(None, OPTIONS, answer=1)


def test_masking_hides_every_option_and_letter_and_nothing_else():
    trace = "Iron oxide is rust; gold is not. (B) it is, and 3.5 kg is heavy. Goldsmiths agree: the answer is B."
    expected = "... is rust; ... is not. ... it is, and ... is heavy. Goldsmiths agree: the answer is ...."
    masked = mask_answers(trace, OPTIONS)
    assert masked == expected
    assert stated_choice(masked, OPTIONS) is None
    assert not names_letter(masked, len(OPTIONS))
    assert mask_answers(masked, OPTIONS) == masked
