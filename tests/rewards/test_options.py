import random
from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rewards.reading.options import (
    anchored,
    can_shuffle,
    draw_permutation,
    parse_choice,
    permute,
    render_options,
    to_content,
    to_shown,
)

METALS = ["iron", "gold", "zinc oxide"]
CHOICES = [
    ("B", 1),
    ("b", 1),
    ("(B)", 1),
    ("( b )", 1),
    ("B.", 1),
    ("B)", 1),
    ("B:", 1),
    (" B ", 1),
    ("B .", 1),
    ("B) gold", 1),
    ("B. GOLD", 1),
    ("(B) gold", 1),
    ("C: zinc   oxide", 2),
    ("gold", 1),
    ("Zinc\nOxide", 2),
    ("D", None),
    ("(D)", None),
    ("A or B", None),
    ("A, B", None),
    ("AB", None),
    ("A B", None),
    ("B) iron", None),
    ("B gold", None),
    ("(B", None),
    ("the gold one", None),
    ("zinc", None),
    ("It is B", None),
    ("1", None),
    ("", None),
    ("   ", None),
    (None, None),
    ("?", None),
    ("É", None),
]


@pytest.mark.parametrize(("answer", "choice"), CHOICES)
def test_only_one_clear_option_is_a_choice(answer, choice):
    assert parse_choice(answer, METALS) == choice


def test_a_single_letter_is_the_letter_shown_and_not_an_options_text():
    assert parse_choice("C", ["A", "C", "G", "T"]) == 2
    assert parse_choice("T", ["A", "C", "G", "T"]) is None


def test_a_text_that_looks_like_a_letter_with_something_behind_it_is_a_text():
    assert parse_choice("B. subtilis", ["B. subtilis", "E. coli"]) == 0
    assert parse_choice("A. E. coli", ["B. subtilis", "E. coli"]) is None


def test_a_text_that_two_options_share_is_no_choice():
    assert parse_choice("gold", ["gold", "Gold", "iron"]) is None


def test_options_are_shown_behind_their_letters():
    assert render_options(METALS) == "A. iron\nB. gold\nC. zinc oxide"
    with pytest.raises(ValueError, match=r"at most 26.*got 27"):
        render_options(["x"] * 27)


ANCHORS = [
    "All of the above",
    "none of the above.",
    "None of these",
    "All of these",
    "Neither of the above",
    "none of the others",
    "None of the other options",
    "All the above",
    "All of the above are correct",
    "None of the above is true",
    "Both of the above",
    "both",
    "Neither",
    "All are correct",
    "None of the answers",
    "Two of the above",
    "any of these options",
]
CONTENT = [
    "Vitamin A and C",
    "A cat and a dog",
    "Group A",
    "A",
    "C",
    "blood types A and B",
    "I and II",
    "II only",
    "all metals",
    "none",
    "All of Europe",
    "Both parents",
    "both hands",
    "neither acid nor base",
    "a or an",
    "A/C",
    "A+B",
    "1 and 2",
    "3 options",
    "Above the clouds",
    "the first two weeks",
    "a second option",
    "answer",
    "Plan B",
    "hepatitis B only",
]
REFERENCES = [
    "Both A and C",
    "A and B",
    "A or B",
    "A & B",
    "A, B and C",
    "A, B, and C",
    "neither A nor B",
    "(a) and (b)",
    "a and b",
    "Either A or C",
    "A and B only",
    "only A",
    "A only",
    "All except B",
    "all of the above except C",
    "Both (A) and (B) are correct.",
    "options 1 and 2",
    "Options A and C",
    "same as option B",
    "choice (B)",
    "answer A",
    "answers A and B are both right",
    "option 2",
    "The first two",
    "both of the first two options",
    "the last two",
    "the first three options",
    "the second option",
    "the first and third options",
    "the other two",
    "A and B above",
    "All of the above except iron",
]


@pytest.mark.parametrize("option", ANCHORS)
def test_options_about_all_the_others_keep_their_place(option):
    options = ["iron", "gold", "zinc", option]
    assert anchored(options) == [False, False, False, True]
    assert can_shuffle(options)
    assert {draw_permutation(options, random.Random(seed))[3] for seed in range(20)} == {3}


@pytest.mark.parametrize("option", CONTENT)
def test_ordinary_content_is_shuffled(option):
    options = ["iron", option, "gold", "zinc"]
    assert anchored(options) == [False] * 4
    assert can_shuffle(options)


@pytest.mark.parametrize("option", REFERENCES)
def test_an_option_that_names_letters_or_places_keeps_the_whole_row_in_order(option):
    options = ["iron", "gold", "zinc", option]
    assert not can_shuffle(options)
    assert draw_permutation(options, random.Random(0), exclude_identity=True) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("options", "shufflable"),
    [
        (["A", "C", "G", "T"], True),
        (["A and T", "G and C", "A and C", "G and T"], True),  # T is no letter shown, so these are bases
        (["I only", "II only", "I and II", "neither I nor II"], True),
        (["iron", "gold", "both of the above", "zinc"], False),  # "above" would come to mean other options
        (["None of the above", "iron", "gold"], False),
        (["None of the following", "iron", "gold"], True),
        (["iron", "All of the above", "None of the above"], False),  # one movable option
        (["yes", "no"], True),
        (["iron"], False),
    ],
)
def test_the_row_as_a_whole_decides(options, shufflable):
    assert can_shuffle(options) == shufflable


WORDS = st.text("abcdefgh ", min_size=3, max_size=12).map(str.strip).filter(lambda text: len(text) > 2)
ROWS = st.lists(st.one_of(WORDS, st.sampled_from([*ANCHORS, *REFERENCES, *CONTENT])), min_size=2, max_size=26)


@given(ROWS, st.integers(0, 2**32), st.booleans())
def test_reordering_then_mapping_back_is_the_identity(options, seed, exclude_identity):
    permutation = draw_permutation(options, random.Random(seed), exclude_identity=exclude_identity)
    shown = permute(options, permutation)
    for content in range(len(options)):
        assert to_content(to_shown(content, permutation), permutation) == content
        assert shown[to_shown(content, permutation)] == options[content]
    assert to_content(None, permutation) is None


@given(ROWS, st.integers(0, 2**32))
def test_anchors_never_move(options, seed):
    permutation = draw_permutation(options, random.Random(seed))
    assert all(permutation[i] == i for i, fixed in enumerate(anchored(options)) if fixed)


@given(ROWS, st.integers(0, 2**32))
def test_the_identity_is_excluded_wherever_something_can_move(options, seed):
    permutation = draw_permutation(options, random.Random(seed), exclude_identity=True)
    assert (permutation == tuple(range(len(options)))) == (not can_shuffle(options))


@given(st.lists(WORDS, min_size=2, max_size=6, unique=True), st.data())
def test_a_letter_among_shuffled_options_maps_to_the_same_text(options, data):
    assume(can_shuffle(options))
    permutation = draw_permutation(options, random.Random(data.draw(st.integers(0, 99))))
    shown = permute(options, permutation)
    place = data.draw(st.integers(0, len(options) - 1))
    content = to_content(parse_choice("ABCDEF"[place], shown), permutation)
    assert options[content] == shown[place]


def test_every_order_is_drawn_about_equally_often():
    rng = random.Random(0)
    counts = Counter(draw_permutation(METALS, rng) for _ in range(6000))
    assert len(counts) == 6
    assert all(880 < count < 1120 for count in counts.values())  # 1000 +- 4 standard deviations of 29


@pytest.mark.parametrize("permutation", [(0, 1), (0, 0, 1), (1, 2, 3)])
def test_what_is_no_permutation_is_refused(permutation):
    with pytest.raises(ValueError, match=r"each of 0\.\.2 once"):
        permute(METALS, permutation)
