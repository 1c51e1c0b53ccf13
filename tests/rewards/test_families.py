"""Families: found by name, file and module, called on a question, and what they may return."""

import random

import pytest

from rewards.scoring.families import FamilyError, change_prompt, check_specs, find_families
from rewards.scoring.perturbations import FAMILIES

ROW = {"id": "q7", "prompt": "Ann has 2 pens. Who?", "answer": "Ann"}
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "1 + 1 ="},
]


def rename(row, rng):
    return row["prompt"].replace("Ann", "Bob"), "Bob"


def rename_version(version, rng):
    return version._replace(question=version.question.replace("Ann", "Bob"), answer="Bob")


@pytest.mark.parametrize("family", [rename, rename_version])
def test_a_version_has_another_prompt_or_another_gold_and_names_its_family(family):
    expected = ("Bob has 2 pens. Who?", "Bob", family.__name__)
    assert change_prompt([family], ROW, random.Random(0)) == expected


@pytest.mark.parametrize(
    "same", [lambda row, rng: (row["prompt"], row["answer"]), lambda v, rng: v, lambda v, rng: None]
)
def test_what_changes_nothing_is_no_version(same):
    assert change_prompt([same], ROW, random.Random(0)) is None


def test_one_of_the_families_that_can_change_a_row_is_drawn():
    def upper(version, rng):
        return version.question.upper()

    def never(version, rng):
        return None

    drawn = [change_prompt([never, rename, upper], ROW, random.Random(seed)).family for seed in range(40)]
    assert set(drawn) == {"rename", "upper"}
    assert 8 < drawn.count("upper") < 32
    assert drawn == [change_prompt([never, rename, upper], ROW, random.Random(seed)).family for seed in range(40)]


def test_a_family_cannot_change_the_row_itself():
    row = {"id": "t", "prompt": [dict(message) for message in TALK], "answer": "2"}

    def rude(row, rng):
        row["prompt"][-1]["content"] = "3 - 1 ="
        dict(row)["answer"] = "4"
        return row["prompt"], row.get("answer")

    changed = change_prompt([rude], row, random.Random(0))
    assert changed.prompt[-1]["content"] == "3 - 1 ="
    assert (row["prompt"], row["answer"]) == (TALK, "2")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (3, r"must return a text \(the new question\), a Version, \(prompt, answer\), or None .* got 3"),
        (("a", "b", "c"), "must return"),
        ("  ", "returned '  ' as the question"),
        ((["Bob"], "Bob"), "in the form of the row's, a str; got"),
        (("", "Bob"), "in the form of the row's"),
        (("Bob?", None), "returned no right answer"),
    ],
)
def test_what_is_no_version_is_refused_with_family_and_row(returned, message):
    def odd(row, rng):
        return returned

    with pytest.raises(FamilyError, match=rf"^Family `odd`, row 'q7': .*{message}"):
        change_prompt([odd], ROW, random.Random(0))


def test_a_prompt_has_no_options():
    with pytest.raises(FamilyError, match="gave options to a question without"):
        change_prompt([lambda version, rng: version._replace(options=["a"])], ROW, random.Random(0))


def test_a_family_that_raises_is_named_with_its_row_and_told_what_it_is_given():
    with pytest.raises(FamilyError, match=r"row 'q7': it raised KeyError: 'facts'. Mend it, .* cannot change\.$"):
        change_prompt([lambda row, rng: row["facts"]], ROW, random.Random(0))
    with pytest.raises(FamilyError, match=r"raised AttributeError: .* A family is given a `Version`: `question`"):
        change_prompt([lambda row, rng: row.items()], ROW, random.Random(0))


def test_of_messages_the_last_of_the_user_is_the_question():
    row = {"prompt": TALK, "solution": "2"}
    prompt, gold, family = change_prompt([FAMILIES["distractor"]], row, random.Random(0), "solution")
    assert prompt[:-1] == TALK[:-1]
    assert prompt[-1]["content"].endswith(". 1 + 1 =")
    assert (gold, family) == ("2", "distractor")
    assert TALK[-1]["content"] == "1 + 1 ="
    for prompt in ("one\nline", TALK[:1], [{"role": "user", "content": [{"type": "text", "text": "a b c"}]}]):
        assert change_prompt([FAMILIES["whitespace"]], {"prompt": prompt}, random.Random(0)) is None
    with pytest.raises(FamilyError, match="no message of the user has a text"):
        change_prompt([lambda version, rng: "a"], {"prompt": TALK[:1]}, random.Random(0))


def test_families_are_found_by_name_file_and_module(tmp_path, monkeypatch):
    (tmp_path / "own_families.py").write_text("def swap(row, rng):\n    return row['prompt'][::-1], row['answer']\n")
    file = f"{tmp_path / 'own_families.py'}:swap"
    assert find_families(["distractor"])[0] == ("distractor", "distractor", FAMILIES["distractor"])
    for spec in ("own_families.py:swap", file):
        (family,) = find_families([spec], base_dir=tmp_path)
        assert family[:2] == ("swap", file)
        assert change_prompt([family], {"prompt": "ab", "answer": "x"}, random.Random(0)) == ("ba", "x", "swap")
    monkeypatch.chdir(tmp_path)
    assert find_families(["own_families.swap"])[0][:2] == ("swap", "own_families.swap")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("option_order", "`families` names 'option_order', which changes the options .* Use whitespace or distractor"),
        ("distracter", "`families` must name some of whitespace, distractor, or functions .* got 'distracter'"),
        (3, "must name some of"),
        ("./gone.py:swap", "Family './gone.py:swap': there is no such file"),
        ("here.py:swap", r"Family 'here.py:swap': .*has no 'swap'. Did you mean 'swop'"),
        ("here.py:NUMBER", "must be a function of a version and a random.Random, got 1"),
        ("broken.py:x", "Family 'broken.py:x': loading .* failed with ZeroDivisionError"),
        ("no.such.module", "Family 'no.such.module': importing 'no.such' failed"),
    ],
)
def test_a_family_that_is_not_there_is_named(tmp_path, spec, message):
    (tmp_path / "here.py").write_text("NUMBER = 1\ndef swop(row, rng):\n    return None\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(ValueError, match=message):
        find_families([spec], base_dir=tmp_path)


def test_a_list_of_families_names_each_once():
    for specs, message in (([], "must list families"), ("distractor", "must list"), (["a.b", "a.b"], "family twice")):
        with pytest.raises(ValueError, match=f"^KEY .*{message}"):
            check_specs(specs, "KEY")
