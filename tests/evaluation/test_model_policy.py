import random

import pytest
from tiny import tiny_model

from align.models.policies.model_policy import share_beginnings
from align.models.second_pass.forward import SecondPassRow, score_letters


def make_rows(seed: int = 0) -> tuple[list[SecondPassRow], list[str]]:
    """Four shuffles of five questions, one question asked once, and one whose rows are all the same."""
    rng = random.Random(seed)
    rows, owners = [], []
    for i in range(5):
        question = [rng.randrange(3, 100) for _ in range(4 * i)]
        for _ in range(4):
            options = [rng.randrange(3, 100) for _ in range(6)]
            rows.append(SecondPassRow(question + options, [rng.randrange(3, 100)] * rng.randint(1, 3), [5, 6, 7]))
            owners.append(f"q{i}")
    same = SecondPassRow([8, 9], [10], [5, 6])
    return [*rows, SecondPassRow([4, 5], [6], [5, 6]), same, same], [*owners, "alone", "same", "same"]


def test_rows_stay_the_same_sequences_and_share_what_they_have_in_common():
    rows, owners = make_rows()
    shared = share_beginnings(rows, owners)
    assert [row.prompt_ids + row.prefix_ids for row in shared] == [row.prompt_ids + row.prefix_ids for row in rows]
    assert [row.letter_ids for row in shared] == [row.letter_ids for row in rows]
    assert all(row.prefix_ids for row in shared[-2:])
    assert len({tuple(row.prompt_ids) for row in shared[16:20]}) == 1  # the longest question, read once
    assert len(shared[16].prompt_ids) >= 16


def test_sharing_does_not_change_the_scores():
    model = tiny_model()
    rows, owners = make_rows()
    scored = [
        score_letters(model, each, pad_token_id=0, batch_size=8) for each in (rows, share_beginnings(rows, owners))
    ]
    for plain, shared in zip(*scored, strict=True):
        assert shared == pytest.approx(plain, abs=1e-4)


def test_worked_examples_before_every_question_are_shared_by_all_of_them():
    rows, owners = make_rows()
    examples = [7, 8, 9] * 20
    rows = [row._replace(prompt_ids=examples + row.prompt_ids) for row in rows]
    shared = share_beginnings(rows, owners)
    assert {tuple(row.prompt_ids[:60]) for row in shared} == {tuple(examples)}
    assert len({tuple(row.prompt_ids) for row in shared}) == 1
    assert [row.prompt_ids + row.prefix_ids for row in shared] == [row.prompt_ids + row.prefix_ids for row in rows]
    assert share_beginnings([], []) == []
