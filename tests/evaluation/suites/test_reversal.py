"""Reversal: tables of facts whose scores are known in advance."""

import json

import pytest
from scripted_subject import subject

from align.errors import DataError
from align.evaluation.asking import Asking
from align.evaluation.suite import SuiteSource
from align.evaluation.suites.reversal.measure import Fact, has_name, load, measure, stated_text
from align.models.policies.asking import Decoding

ASKING = Asking(Decoding())


def fact(i, *, control=False):
    """A writer with a name of its own length, and a book."""
    writer, book = f"Ann {'a' * (i % 7)}b{i}x", f"Book {i}x"
    return Fact(f"{'c' * control}{i}", f"The book of {writer} is", (book,), f"{book} was written by", (writer,),
                control, None, i)  # fmt: skip


FACTS = [fact(i) for i in range(30)]
CONTROL = [fact(100 + i, control=True) for i in range(10)]


def knows(*ways, facts=FACTS):
    """A table of the answers to prompts of these directions."""
    names = {each.forward: each.objects[0] for each in facts} if "forward" in ways else {}
    names |= {each.reverse: each.subjects[0] for each in facts} if "reverse" in ways else {}
    return subject(lambda prompt, sample: f" {names.get(prompt.content, 'nobody')}.\nNext line")


def numbers(asked, rows=FACTS):
    found = measure(asked, rows, ASKING)
    return {name: metric.estimate().value for name, metric in found.means.items()}, found


def test_a_table_that_knows_forward_only_has_the_whole_gap():
    found, measured = numbers(knows("forward"))
    assert (found["name_accuracy/forward"], found["name_accuracy/reverse"], found["reversal_gap"]) == (1, 0, 1)
    assert "There is no control" in measured.warnings[0]


def test_a_table_that_knows_both_has_none():
    found, _ = numbers(knows("forward", "reverse"))
    assert (found["name_accuracy/forward"], found["name_accuracy/reverse"], found["reversal_gap"]) == (1, 1, 0)


def test_the_control_stands_beside_and_is_held_against_itself():
    rows = FACTS + CONTROL
    known = {each.forward: each.objects[0] for each in rows} | {each.reverse: each.subjects[0] for each in CONTROL}
    asked = subject(lambda prompt, sample: known.get(prompt.content, ""))
    found, measured = numbers(asked, rows)
    assert (found["reversal_gap"], found["reversal_gap/control"]) == (1, 0)
    assert (found["name_accuracy/reverse"], found["name_accuracy/reverse_control"]) == (0, 1)
    assert measured.means["reversal_gap"].estimate().n == 30
    assert measured.means["reversal_gap/control"].estimate().n == 10
    assert measured.warnings == []


def test_an_alias_is_the_name_and_samples_count_as_shares():
    facts = [
        Fact("a", "The capital is", ("Istanbul", "Constantinople"), "It lies in", ("Turkey",), False, None, 1),
        Fact("b", "Its river is", ("Nile",), "It flows through", ("Egypt",), False, None, 2),
    ]
    says = {"a/forward": ["Constantinople.", "Ankara"], "b/forward": ["the Nile", "The NILE"]}
    asked = subject(lambda prompt, sample: says.get(prompt.id, ["", ""])[sample])
    found = measure(asked, facts, Asking(Decoding(num_samples=2, temperature=1.0)))
    assert list(found.means["name_accuracy/forward"].groups[0]) == [0.5, 1]
    assert list(found.means["reversal_gap"].groups[0]) == [0.5, 1]
    assert [row["correct"] for row in found.rows if row["direction"] == "forward"] == [False, True]


@pytest.mark.parametrize(
    ("response", "stated"),
    [
        ("\n  Ada.\nBob", "Ada."),
        ("<think>Bob?</think> Ada", "Ada"),
        ("<think>Ada", ""),
        ("<answer>Ada</answer><answer>Bob</answer>", ""),
        ("It follows.\nAnswer: Ada", "Ada"),
        ("", ""),
    ],
)
def test_where_a_response_states_its_answer(response, stated):
    assert stated_text(response) == stated


@pytest.mark.parametrize(
    ("text", "name", "held"),
    [
        ("Her son is TOM  CRUISE.", "Tom Cruise", True),
        ("Tom Cruiser", "Tom Cruise", False),
        ("Joannabel and Anna", "Anna", True),
        ("他是毛泽东。", "毛泽东", True),
        ("Apollo 110", "Apollo 11", False),
        ("O\u2019Neil", "O'Neil", True),
        ("", "Ada", False),
    ],
)
def test_names_are_whole_words(text, name, held):
    assert has_name(text, name) is held


ROW = {"subject": "Ada", "forward": "Ada wrote", "reverse": "Notes is by", "object": "Notes"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"forward": "Notes is by", "reverse": "Ada wrote"}, "column `forward`: the prompt holds its own answer"),
        ({"object": "Ada"}, "part of the other one"),
        ({"subject_aliases": ["The Notes"], "object": "Notes"}, "column `object`: the name is part"),
        ({"subject": ""}, "column `subject`: the name is missing or empty"),
        ({"subject": "."}, "only full stops"),
        ({"control": "maybe"}, "column `control`: it is neither true nor false"),
        ({"object_aliases": [1]}, "column `object_aliases`: a text is missing"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, changes, said):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW | changes) + "\n")
    with pytest.raises(DataError, match=said):
        load(SuiteSource(str(path)), None)


def test_one_fact_alone_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    with pytest.raises(DataError, match=r"has 1 fact\(s\) beside the control, and one tells nothing"):
        load(SuiteSource(str(path)), None)
