import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from align.data.pairs.spans import Span, check_spans, diff_spans, diff_tokens, strip_tags, words_differ
from align.data.problems import BadRow

PIECES = [
    "red",
    "car",
    "the",
    "é",
    "e\u0301",
    "straße",
    "हिन्दी",
    "北京",
    "カ",
    "👩‍🚀",
    "👍🏽",
    "3.5",
    "don't",
    ",",
    ".",
    "<",
    "_",
]
SPACES = [" ", " ", "  ", "\n", "\t", "", "\x1c", "\u00a0"]
TEXTS = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(SPACES)), max_size=12).map(
    lambda parts: "".join(piece + space for piece, space in parts)
)
ANY_TEXT = TEXTS | st.text(max_size=30)


def words_outside(text, spans):
    """Everything visible that is not in a span, with a cut where a span was."""
    bounds = [0, *[offset for span in spans for offset in span], len(text)]
    return [text[a:b].split() for a, b in zip(bounds[::2], bounds[1::2], strict=True)]


def marked(text, spans):
    return [text[start:end] for start, end in spans]


def diff(chosen, rejected):
    ours, theirs = diff_spans(chosen, rejected)
    return marked(chosen, ours), marked(rejected, theirs)


@given(ANY_TEXT, ANY_TEXT)
def test_texts_are_equal_outside_the_spans_of_their_diff(chosen, rejected):
    ours, theirs = diff_spans(chosen, rejected)
    outside = [
        "".join("".join(part) for part in words_outside(*side)) for side in ((chosen, ours), (rejected, theirs))
    ]
    assert outside[0] == outside[1]


@given(ANY_TEXT, ANY_TEXT)
def test_spans_of_a_diff_are_ordered_visible_and_without_surrounding_whitespace(chosen, rejected):
    for text, spans in zip((chosen, rejected), diff_spans(chosen, rejected), strict=True):
        assert check_spans([list(span) for span in spans], text, "chosen_spans") == spans
        assert all(part == part.strip() != "" for part in marked(text, spans))


@given(ANY_TEXT, st.sampled_from(SPACES), st.sampled_from(SPACES))
def test_texts_that_differ_in_outer_whitespace_only_have_no_spans(text, before, after):
    assert diff_spans(before + text + after, text) == ((), ())


@given(TEXTS, TEXTS)
def test_texts_with_other_words_have_a_span_on_a_side(chosen, rejected):
    assume(chosen.split() != rejected.split() and "".join(chosen.split()) != "".join(rejected.split()))
    ours, theirs = diff_spans(chosen, rejected)
    assert ours or theirs


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_words_replaced_in_place_are_the_spans_in_both_directions(replaced):
    chosen = " ".join(f"w{i}" for i in range(len(replaced)))
    rejected = " ".join(f"x{i}" if new else f"w{i}" for i, new in enumerate(replaced))
    ours, theirs = diff_spans(chosen, rejected)
    assert (theirs, ours) == diff_spans(rejected, chosen)
    assert sum(len(part.split()) for part in marked(chosen, ours)) == sum(replaced)
    assert ours == theirs  # w1 and x1 have the same length


@pytest.mark.parametrize(
    ("chosen", "rejected", "ours", "theirs"),
    [
        ("It is Paris.", "It is Rome.", ["Paris"], ["Rome"]),
        ("It is New York now.", "It is Rome now.", ["New York"], ["Rome"]),
        ("A red car stops", "A car stops", ["red car"], ["car"]),  # an insertion borrows the next word
        ("A car stops", "A big red car stops", ["car"], ["big red car"]),
        ("It stops, now", "It stops", [", now"], []),  # at the end there is none
        ("No", "No, it rains.", [], [", it rains."]),
        ("東京は大きい", "大阪は大きい", ["東京"], ["大阪"]),
        (
            "東京は大きい",
            "京都は大きい",
            ["東京", "は"],
            ["京", "都は"],
        ),  # 東 more in front of 京, 都 more in front of は
        ("café", "cafe", ["café"], ["cafe"]),
        ("un cafe\u0301", "un cafe", ["cafe\u0301"], ["cafe"]),  # an accent is part of its word
        ("हिन्दी है", "हिन्दु है", ["हिन्दी"], ["हिन्दु"]),
        ("ok 👩‍🚀", "ok 👩‍🔬", ["👩‍🚀"], ["👩‍🔬"]),
        ("costs 3.5", "costs 3.7", ["5"], ["7"]),
        ("Yes.\n\n  It is", "Yes. It is", [], []),
        ("yes it is", "Yes it is", ["yes"], ["Yes"]),
    ],
)
def test_known_differences(chosen, rejected, ours, theirs):
    assert diff(chosen, rejected) == (ours, theirs)


def test_frequent_words_are_compared_too():
    filler = "the " * 300
    assert diff(filler + "cat", filler + "dog") == (["cat"], ["dog"])


def test_a_token_diff_marks_replaced_tokens_and_no_insertions():
    assert diff_tokens([1, 2, 3, 4], [1, 9, 8, 4]) == ([0, 1, 1, 0], [0, 1, 1, 0])
    assert diff_tokens([1, 2, 3], [1, 3]) == ([0, 0, 0], [0, 0])
    assert diff_tokens([], [1]) == ([], [0])


@given(st.lists(st.integers(0, 5), max_size=12), st.lists(st.integers(0, 5), max_size=12))
def test_a_token_diff_has_one_mark_per_token_and_marks_both_sides_or_none(chosen, rejected):
    ours, theirs = diff_tokens(chosen, rejected)
    assert (len(ours), len(theirs)) == (len(chosen), len(rejected))
    assert any(ours) == any(theirs)
    assert not any(diff_tokens(chosen, chosen)[0])


@given(st.lists(st.tuples(TEXTS, st.booleans()), max_size=6))
def test_tags_around_words_come_off_and_leave_the_text(parts):
    parts = [(text, tagged and text.strip() == text != "") for text, tagged in parts]
    text, spans = strip_tags("".join(f"<MASK>{part}</MASK>" if tagged else part for part, tagged in parts), "chosen")
    assert text == "".join(part for part, _ in parts)
    assert marked(text, spans) == [part for part, tagged in parts if tagged]


@pytest.mark.parametrize(
    ("tagged", "plain", "words"),
    [
        ("It is <MASK>Paris</MASK>.", "It is Paris.", ["Paris"]),
        ("It is <MASK> Paris </MASK>.", "It is Paris.", ["Paris"]),
        ("It is <MASK> Paris </MASK> now", "It is Paris now", ["Paris"]),
        ("It is<MASK> Paris</MASK>.", "It is Paris.", ["Paris"]),  # the only space there is
        ("It is<MASK> Paris </MASK>now", "It is Paris now", ["Paris"]),
        ("(<MASK> Paris </MASK>)", "(Paris)", ["Paris"]),
        ("Où :<MASK> Paris</MASK>", "Où : Paris", ["Paris"]),
        ("<MASK> Paris </MASK>", "Paris", ["Paris"]),
        ("<MASK> New </MASK><MASK> York </MASK>", "New York", ["New", "York"]),
        ("List:<MASK>\n- a\n</MASK>end", "List:\n- a\nend", ["- a"]),
        ("a <MASK>b</MASK> c <MASK>d e</MASK>", "a b c d e", ["b", "d e"]),
        ("none", "none", []),
    ],
)
def test_whitespace_inside_tags_is_not_marked_and_not_doubled(tagged, plain, words):
    text, spans = strip_tags(tagged, "chosen")
    assert text == plain
    assert marked(text, spans) == words


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a <MASK>b", "a <MASK> tag is not closed"),
        ("a b</MASK>", "a </MASK> tag was not opened"),
        ("</MASK>a<MASK>", "a </MASK> tag was not opened"),
        ("<MASK>a <MASK>b</MASK></MASK>", "a <MASK> tag is inside another one"),
        ("<MASK>a</MASK></MASK>", "a </MASK> tag was not opened"),
        ("a <MASK></MASK>", "there is nothing between the tags"),
        ("a <MASK> \n</MASK>", "there is nothing between the tags"),
    ],
)
def test_tags_that_do_not_pair_up_are_reported(text, rule):
    with pytest.raises(BadRow) as bad:
        strip_tags(text, "rejected")
    assert (bad.value.column, bad.value.rule) == ("rejected", rule)
    assert bad.value.value


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("0-5", "the spans are not a list"),
        ({"start": 0}, "the spans are not a list"),
        ([0, 5], "a span is not a pair of whole numbers"),
        ([[0, 5, 6]], "a span is not a pair of whole numbers"),
        ([[0, 5.0]], "a span is not a pair of whole numbers"),
        ([[False, True]], "a span is not a pair of whole numbers"),
        ([["0", "5"]], "a span is not a pair of whole numbers"),
        ([[0, 13]], "a span is outside the text"),
        ([[-2, 3]], "a span is outside the text"),
        ([[5, 0]], "a span is outside the text"),
        ([[3, 3]], "a span marks nothing"),
        ([[5, 6]], "a span marks nothing"),
        ([[0, 5], [4, 8]], "two spans overlap"),
        ([[0, 8], [2, 4]], "two spans overlap"),
        ([[0, 5], [0, 5]], "two spans overlap"),
    ],
)
def test_offsets_that_cannot_be_used_are_reported(value, rule):
    with pytest.raises(BadRow) as bad:
        check_spans(value, "Paris is old", "chosen_spans")
    assert (bad.value.column, bad.value.rule) == ("chosen_spans", rule)
    assert bad.value.value


def test_offsets_are_put_in_order_and_freed_of_whitespace():
    assert check_spans([(6, 9), [0, 5]], "Paris is old", "x") == (Span(0, 5), Span(6, 8))
    assert check_spans([[5, 12]], "Paris is old", "x") == (Span(6, 12),)
    assert check_spans([[0, 5], [5, 8]], "Paris is old", "x") == (Span(0, 5), Span(6, 8))  # they may touch
    assert check_spans([], "Paris", "x") == ()


@given(st.text("ab_ .\x1c\u4eba\u0301", max_size=8), st.text("ab_ .\x1c\u4eba\u0301", max_size=8))
def test_words_differ_where_a_diff_finds_a_span(chosen, rejected):
    assert words_differ(chosen, rejected) == any(diff_spans(chosen, rejected))
