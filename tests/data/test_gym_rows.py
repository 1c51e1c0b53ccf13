"""Rows of a reasoning-gym task: drawn by a seed, each question once and in one split."""

import pytest

from align.data.files import read_rows
from align.data.prompt_rows import load_prompts
from align.errors import DataError
from rewards.reading.gym import read_entry

GCD = "reasoning_gym:gcd?size=40"


def contents(path, split=None):
    return [raw.content for raw in read_rows(path, split)]


@pytest.fixture(scope="module", autouse=True)
def _library():
    pytest.importorskip("reasoning_gym", reason="needs the extra `reasoning-gym`")


def test_a_row_has_what_is_asked_what_is_right_and_what_the_verifier_reads():
    row = contents(GCD)[0]
    assert row["prompt"][0]["content"].startswith(f"{row['question']}\n\nThink it through")
    assert row["task"] == GCD
    entry = read_entry(row["entry"])
    assert (entry["question"], entry["answer"]) == (row["question"], row["answer"])
    assert entry["metadata"]["source_dataset"] == "gcd"


def test_a_seed_draws_the_same_rows_and_another_one_others():
    first, other = ({row["question"] for row in contents(f"{GCD}&seed={seed}")} for seed in (0, 1))
    assert len(first) == len(other) == 40
    assert first == {row["question"] for row in contents(GCD)}
    assert len(first & other) < 4  # the library's own seeds 0 and 1 share all items but one


def test_no_question_of_training_is_held_out_whatever_the_seeds():
    sums = "reasoning_gym:chain_sum?max_terms=2&max_digits=1&size=30"  # of 200 or so
    train = {row["question"] for seed in range(4) for row in contents(f"{sums}&seed={seed}")}
    held_out = {row["question"] for seed in range(4) for row in contents(f"{sums}&seed={seed}", "test")}
    assert len(train) > 60
    assert len(held_out) >= 30
    assert not train & held_out


def test_solved_questions_stand_in_front_and_are_no_rows():
    rows = contents(f"{GCD}&shots=2")
    shown = rows[0]["prompt"][:4]
    assert [message["role"] for message in shown] == ["user", "assistant"] * 2
    assert shown[1]["content"].startswith("<answer>")
    asked = {row["prompt"][-1]["content"] for row in [*rows, *contents(f"{GCD}&shots=2", "test")]}
    assert all(row["prompt"][:4] == shown for row in rows)
    assert not asked & {shown[0]["content"], shown[2]["content"]}


def test_prompts_load_with_the_columns_of_the_reward():
    prompts, report = load_prompts(GCD, max_rows=5)
    assert (len(prompts), report.num_read) == (5, 5)
    assert list(prompts[0].columns) == ["question", "answer", "task", "entry"]


@pytest.mark.parametrize(
    ("path", "split", "message"),
    [
        ("reasoning_gym:gcds", None, "no task 'gcds'. Did you mean 'gcd'"),
        (GCD, "validation", "has no split 'validation'. It has: train, test"),
        ("reasoning_gym:chain_sum?max_terms=2&max_digits=1", None, "asks for 500 questions, and 4000 draws gave"),
        ("reasoning_gym:rush_hour?size=2&shots=1", None, "knows no answers, only whether one is right"),
    ],
)
def test_what_cannot_be_drawn_is_said(path, split, message):
    with pytest.raises(DataError) as caught:
        contents(path, split)
    assert message in str(caught.value)
