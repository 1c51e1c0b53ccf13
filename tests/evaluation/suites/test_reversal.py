"""Reversal: tables of facts whose scores are known in advance."""

import json

import numpy as np
import pytest
from scripted_subject import subject

from align.errors import DataError
from align.evaluation.asking import Asking
from align.evaluation.suite import SuiteSource
from align.evaluation.suites.reversal.measure import OTHERS, Fact, draw_others, has_name, load, measure, stated_text
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
    """A table of the answers to prompts of these directions: -1 a token for them, -3 for other names."""
    names = {each.forward: each.objects[0] for each in facts} if "forward" in ways else {}
    names |= {each.reverse: each.subjects[0] for each in facts} if "reverse" in ways else {}

    def scores(text):
        return [-1.0 if text.text.strip() == names.get(text.prompt) else -3.0] * 2

    return subject(lambda prompt, sample: f" {names.get(prompt.content, 'nobody')}.\nNext line", scores)


def numbers(asked, rows=FACTS):
    found = measure(asked, rows, ASKING)
    return {name: metric.estimate().value for name, metric in found.means.items()}, found


def test_a_table_that_knows_forward_only_has_the_whole_gap():
    found, measured = numbers(knows("forward"))
    assert (found["name_accuracy/forward"], found["name_accuracy/reverse"], found["reversal_gap"]) == (1, 0, 1)
    assert found["name_advantage/forward"] == 4  # two tokens, two nats each
    assert found["name_advantage/reverse"] == 0
    assert "There is no control" in measured.warnings[0]


def test_a_table_that_knows_both_has_none():
    found, _ = numbers(knows("forward", "reverse"))
    assert (found["name_accuracy/forward"], found["name_accuracy/reverse"], found["reversal_gap"]) == (1, 1, 0)
    assert found["name_advantage/forward"] == found["name_advantage/reverse"] == 4


def test_a_preference_for_short_names_is_none_in_every_fact():
    _, measured = numbers(subject(scores=lambda text: [-0.1] * len(text.text)))
    for way in ("forward", "reverse"):
        np.testing.assert_allclose(measured.means[f"name_advantage/{way}"].groups[0], 0, atol=1e-12)


def test_the_mean_is_that_of_true_names_minus_random_ones_behind_the_same_prompt():
    """A prior of names and one of prompts on top of what is known: the same number counted either way."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(30, 30))
    place = {each.forward: i for i, each in enumerate(FACTS)} | {each.objects[0]: i for i, each in enumerate(FACTS)}

    def scores(text):
        return [table[place[text.prompt], place[text.text.strip()]]] if text.prompt in place else [0.0]

    found, _ = numbers(subject(scores=scores))
    others = draw_others([each.objects for each in FACTS], [False] * 30, 0)
    names = [[i for i in range(30) if prompt in others[i]] for prompt in range(30)]
    assert {len(each) for each in names} == {OTHERS}
    by_prompt = [table[i, i] - np.mean([table[i, j] for j in names[i]]) for i in range(30)]
    assert found["name_advantage/forward"] == pytest.approx(np.mean(by_prompt))


def test_the_control_stands_beside_and_is_held_against_itself():
    rows = FACTS + CONTROL
    known = {each.forward: each.objects[0] for each in rows} | {each.reverse: each.subjects[0] for each in CONTROL}
    asked = subject(
        lambda prompt, sample: known.get(prompt.content, ""),
        lambda text: [0.0 if text.text.strip() == known.get(text.prompt) else -2.0],
    )
    found, measured = numbers(asked, rows)
    assert (found["reversal_gap"], found["reversal_gap/control"]) == (1, 0)
    assert (found["name_accuracy/reverse"], found["name_accuracy/reverse_control"]) == (0, 1)
    assert (found["name_advantage/reverse"], found["name_advantage/reverse_control"]) == (0, 2)
    assert measured.means["reversal_gap"].estimate().n == 30
    assert measured.means["reversal_gap/control"].estimate().n == 10
    assert measured.warnings == []
    others = draw_others([each.objects for each in rows], [each.control for each in rows], 0)
    assert all(rows[i].control == rows[j].control for i, several in enumerate(others) for j in several)


def test_an_alias_is_the_name_and_samples_count_as_shares():
    facts = [
        Fact("a", "The capital is", ("Istanbul", "Constantinople"), "It lies in", ("Turkey",), False, None, 1),
        Fact("b", "Its river is", ("Nile",), "It flows through", ("Egypt",), False, None, 2),
    ]
    says = {"a/forward": ["Constantinople.", "Ankara"], "b/forward": ["the Nile", "The NILE"]}
    asked = subject(lambda prompt, sample: says.get(prompt.id, ["", ""])[sample], lambda text: [-1.0])
    found = measure(asked, facts, Asking(Decoding(num_samples=2, temperature=1.0)))
    assert list(found.means["name_accuracy/forward"].groups[0]) == [0.5, 1]
    assert list(found.means["reversal_gap"].groups[0]) == [0.5, 1]
    assert [row["correct"] for row in found.rows if row["direction"] == "forward"] == [False, True]


def test_facts_that_share_an_answer_are_not_held_against_each_other():
    others = draw_others([("Paris",), ("paris", "City"), ("Rome",)], [False] * 3, 0)
    assert others == [[2], [2], [1, 0]] or others == [[2], [2], [0, 1]]
    assert draw_others([("Paris",), ("Paris",)], [False] * 2, 0) == [[], []]


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
    with pytest.raises(DataError, match=r"has 1 fact\(s\) beside the control"):
        load(SuiteSource(str(path)), None)
