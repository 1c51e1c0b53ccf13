import pytest
from hypothesis import given
from hypothesis import strategies as st

from align.report.run.pairs import mark_text, share_marked

OFFSET = st.integers(-3, 60)
SPANS = st.lists(st.tuples(OFFSET, OFFSET).map(list), max_size=8)


@given(text=st.text(max_size=50), spans=SPANS)
def test_the_pieces_are_the_text_and_exactly_the_spans_are_marked(text, spans):
    pieces = mark_text(text, spans, longest=1000)
    assert "".join(piece.text for piece in pieces) == text
    marked = [piece.marked for piece in pieces for _ in piece.text]
    assert marked == [any(start <= place < end for start, end in spans) for place in range(len(text))]
    assert share_marked(text, spans) == pytest.approx(sum(marked) / max(1, len(text)))
    assert all(piece.text for piece in pieces)


@given(length=st.integers(0, 5000), spans=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), max_size=30))
def test_what_is_shown_is_bounded_and_what_is_not_is_counted(length, spans):
    pieces = mark_text("x" * length, spans, longest=800)
    shown = sum(len(piece.text) for piece in pieces)
    assert shown <= 800
    assert shown + sum(piece.left_out for piece in pieces) == length


def test_a_long_text_is_shown_around_its_spans():
    text = "start " + "shared " * 2000 + "PARIS" + " shared" * 2000
    place = text.index("PARIS")
    pieces = mark_text(text, [[place, place + 5]], longest=2000)
    assert [piece.text for piece in pieces if piece.marked] == ["PARIS"]
    assert pieces[0].text.startswith("start shared")
    assert pieces[1].text.endswith("shared ")
    assert [piece.left_out > 10_000 for piece in pieces] == [True, False, False, True]


def test_a_long_text_without_spans_is_shown_from_its_start():
    (piece,) = mark_text("a" * 500 + "b" * 500, [], longest=600)
    assert piece.text == "a" * 500 + "b" * 100
    assert piece.left_out == 400


@pytest.mark.parametrize("spans", [None, "0,5", [None], [[0]], [["0", "5"]], [[0, 2.5]], 7, [[5, 5]], [[9, 2]]])
def test_what_is_no_span_marks_nothing(spans):
    assert [piece.marked for piece in mark_text("some text", spans, longest=100)] == [False]
