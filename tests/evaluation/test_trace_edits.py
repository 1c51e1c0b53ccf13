import random
import re

import pytest

from align.evaluation.suites.faithfulness.changed_traces import corrupt_numbers
from align.evaluation.suites.questions.reliance import corrupt_words, donors, replace_trace
from rewards.reading.responses import parse_response


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>think</think><answer>A</answer>", "<think>NEW</think><answer>"),
        ("so</think>\n<answer> B</answer>", "NEW</think>\n<answer> "),
        ("It is gold.\nAnswer: A", "NEW\nAnswer: "),
        ("Hm <think> gold gold </think><answer>A</answer>", "Hm <think> NEW </think><answer>"),
    ],
)
def test_only_the_trace_is_replaced(text, expected):
    assert replace_trace(text, parse_response(text), "NEW") == expected


def test_a_response_without_an_answer_has_no_trace_to_replace():
    text = "<think>gold</think>"
    with pytest.raises(ValueError, match="between a trace and an answer"):
        replace_trace(text, parse_response(text), "")


def test_more_corruption_changes_the_same_words_and_more():
    trace = " ".join(f"w{i}" for i in range(20))
    words = [f"x{i}" for i in range(9)]
    changed = []
    for percent in (25, 50, 100):
        new = corrupt_words(trace, percent, words, random.Random(3)).split()
        changed.append({i for i, (old, now) in enumerate(zip(trace.split(), new, strict=True)) if old != now})
    assert [len(each) for each in changed] == [5, 10, 20]
    assert changed[0] < changed[1] < changed[2]


def test_corruption_rounds_up_and_leaves_what_it_cannot_change():
    assert corrupt_words("gold", 25, ["iron"], random.Random(0)) == "iron"
    assert corrupt_words("gold", 100, ["gold"], random.Random(0)) == "gold"
    assert corrupt_words("", 100, ["gold"], random.Random(0)) == ""


TRACE = "There are 12 of 3.\n\nSo 4.\nThen 0.\nHence 12."


def test_every_number_becomes_another_one_of_its_length():
    new = corrupt_numbers(TRACE, random.Random(0))
    assert re.sub(r"\d", "0", new) == re.sub(r"\d", "0", TRACE)
    assert all(a != b for a, b in zip(re.findall(r"\d+", new), re.findall(r"\d+", TRACE), strict=True))
    assert corrupt_numbers("no number", random.Random(0)) == "no number"


def test_a_donor_is_another_item_with_another_trace():
    ids, traces = ["a", "a", "b", "c", "d"], ["x", "y", "x", None, "z"]
    chosen = donors(ids, traces, seed=0)
    assert chosen[3] is None
    for i, donor in enumerate(chosen):
        if donor is not None:
            assert ids[donor] != ids[i]
            assert traces[donor] not in (None, traces[i])
    assert chosen == donors(ids, traces, seed=0)
    assert donors(["a", "b"], ["x", "x"], seed=0) == [None, None]
