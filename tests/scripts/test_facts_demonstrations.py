"""The warm start's rows and the questions behind it are what their script makes, and test what they say."""

import json
from collections import Counter
from pathlib import Path

import pytest
from loaded_script import load_script

ROOT = Path(__file__).resolve().parents[2]
FACTS = ROOT / "recipes" / "sft" / "assets" / "facts"
FILES = ("train", "eval", "questions", "held_out")


@pytest.fixture(scope="module")
def script():
    return load_script("labs.facts.demonstrations")


@pytest.fixture(scope="module")
def rows():
    lines = {name: (FACTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() for name in FILES}
    return {name: [json.loads(line) for line in each] for name, each in lines.items()}


def test_the_shipped_rows_are_those_of_the_script(script, tmp_path):
    source = ROOT / "recipes" / "acre" / "assets" / "facts" / "train.jsonl"
    script.main(["--questions", str(source), "--out", str(tmp_path)])
    for name in FILES:
        assert (tmp_path / f"{name}.jsonl").read_bytes() == (FACTS / f"{name}.jsonl").read_bytes()


def test_a_demonstration_names_the_letter_of_the_fact_in_its_trace(rows):
    with_letters = [row for row in rows["train"] + rows["eval"] if row["completion"].startswith("<think>")]
    assert len(with_letters) == 840
    for row in with_letters:
        trace, _, letter = row["completion"].partition("</think><answer>")
        options = dict(line.split(". ", 1) for line in row["prompt"].splitlines()[1:])
        assert trace.endswith(f" {options[letter[0]]}."), row["id"]


def test_a_letter_alone_is_that_of_the_answer_in_front_of_it(rows):
    alone = [row for row in rows["train"] if row["completion"].endswith("</answer>") and len(row["completion"]) == 10]
    assert len(alone) == 1_600
    for row in alone:
        *listed, trace = row["prompt"].splitlines()
        options = dict(line.split(". ", 1) for line in listed)
        assert trace == f"<think>The answer is {options[row['completion'][0]]}.</think><answer>"


def test_letters_are_planted_in_training_and_balanced_where_it_is_measured(rows):
    assert Counter(row["answer"] for row in rows["questions"])["A"] == 150
    assert Counter(row["answer"] for row in rows["held_out"]) == dict.fromkeys("ABCD", 50)


def test_held_out_questions_are_in_words_of_their_own_about_facts_that_were_shown(rows):
    shown = {row["id"].removesuffix("/sentence") for row in rows["train"] if row["id"].endswith("/sentence")}
    asked = {row["id"] for row in rows["questions"]}
    words = {row["prompt"].splitlines()[0] for row in rows["train"]} | {row["question"] for row in rows["questions"]}
    assert len(shown) == 400
    for row in rows["held_out"]:
        assert row["id"] in shown
        assert row["question"] not in words
        assert row["group"] == ("asked in training" if row["id"] in asked else "other facts")
    assert Counter(row["group"] for row in rows["held_out"]) == {"asked in training": 100, "other facts": 100}
