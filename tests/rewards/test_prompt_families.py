import random

import pytest

from rewards.scoring.prompt_families import FamilyError, OnPrompts, change_prompt, find_family

ROW = {"id": "q7", "prompt": "Ann has 2 pens. Who?", "answer": "Ann"}
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "1 + 1 ="},
]


def rename(row, rng):
    return row["prompt"].replace("Ann", "Bob"), "Bob"


def test_a_version_has_another_prompt_or_another_gold_and_names_its_family():
    assert change_prompt([rename], ROW, random.Random(0)) == ("Bob has 2 pens. Who?", "Bob", "rename")
    assert change_prompt([lambda row, rng: (row["prompt"], row["answer"])], ROW, random.Random(0)) is None
    assert change_prompt([lambda row, rng: None], ROW, random.Random(0)) is None


def test_one_of_the_families_that_can_change_a_row_is_drawn():
    def upper(row, rng):
        return row["prompt"].upper(), row["answer"]

    def never(row, rng):
        return None

    drawn = [change_prompt([never, rename, upper], ROW, random.Random(seed)).family for seed in range(40)]
    assert set(drawn) == {"rename", "upper"}
    assert 8 < drawn.count("upper") < 32
    assert drawn == [change_prompt([never, rename, upper], ROW, random.Random(seed)).family for seed in range(40)]


def test_a_family_cannot_change_the_row_itself():
    row = {"id": "t", "prompt": [dict(message) for message in TALK], "answer": "2"}

    def rude(row, rng):
        row["prompt"][-1]["content"] = "3 - 1 ="
        row["answer"] = "4"
        return row["prompt"], "2"

    changed = change_prompt([rude], row, random.Random(0))
    assert changed.prompt[-1]["content"] == "3 - 1 ="
    assert (row["prompt"], row["answer"]) == (TALK, "2")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("Bob has 2 pens.", r"must return \(prompt, gold\) or None, got 'Bob has"),
        (("a", "b", "c"), "must return"),
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


def test_a_family_that_raises_is_named_with_its_row():
    with pytest.raises(FamilyError, match="row 'q7': it raised KeyError: 'facts'"):
        change_prompt([lambda row, rng: row["facts"]], ROW, random.Random(0))


def test_built_in_families_change_the_last_message_of_the_user_and_keep_the_gold():
    row = {"prompt": TALK, "solution": "2"}
    prompt, gold = OnPrompts("distractor", "solution")(row, random.Random(0))
    assert prompt[:-1] == TALK[:-1]
    assert prompt[-1]["content"].endswith(". 1 + 1 =")
    assert gold == "2"
    assert TALK[-1]["content"] == "1 + 1 ="
    assert OnPrompts("whitespace")({"prompt": "one\nline", "answer": 1}, random.Random(0)) is None
    assert OnPrompts("distractor")({"prompt": TALK[:1], "answer": 1}, random.Random(0)) is None


def test_families_are_found_by_name_file_and_module(tmp_path, monkeypatch):
    (tmp_path / "own_families.py").write_text("def swap(row, rng):\n    return row['prompt'][::-1], row['answer']\n")
    assert find_family("distractor", gold_column="gold").gold_column == "gold"
    for spec in ("own_families.py:swap", f"{tmp_path}/own_families.py:swap"):
        assert find_family(spec, base_dir=tmp_path)({"prompt": "ab", "answer": "x"}, None) == ("ba", "x")
    monkeypatch.chdir(tmp_path)
    assert find_family("own_families.swap").__name__ == "swap"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("option_order", "changes the options of a question, and prompts have none. Use whitespace or distractor"),
        ("distracter", "Unknown family 'distracter'. Known families: whitespace, distractor"),
        ("./gone.py:swap", "Family './gone.py:swap': there is no such file"),
        ("here.py:swap", r"Family 'here.py:swap': .*has no 'swap'. Did you mean 'swop'"),
        ("here.py:NUMBER", "is a int, not a function"),
        ("broken.py:x", "Family 'broken.py:x': loading .* failed with ZeroDivisionError"),
        ("no.such.module", "Family 'no.such.module': importing 'no.such' failed"),
    ],
)
def test_a_family_that_is_not_there_is_named(tmp_path, spec, message):
    (tmp_path / "here.py").write_text("NUMBER = 1\ndef swop(row, rng):\n    return None\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(ValueError, match=message):
        find_family(spec, base_dir=tmp_path)
