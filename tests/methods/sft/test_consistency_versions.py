"""Prompts that families change, and the answer's own tokens behind them."""

import random

import pytest
import torch

from align.experimental.consistency.rules import consistency_families, other_prompt, prompt_of
from align.experimental.consistency.sft import IGNORED, VersionMaker
from rewards.scoring.families import Family, FamilyError


def characters(prompt):
    text = prompt if isinstance(prompt, str) else "".join(f"<{m['role'][0]}>{m['content']}" for m in prompt) + "<a>"
    return [ord(letter) for letter in text]


def maker(make, prompts=("ab c",), max_length=None):
    return VersionMaker([Family("own", "own", make)], prompts, characters, max_length, seed=0)


def louder(version, rng):
    return version.question + "!!"


def row(prompt, answer):
    ids = characters(prompt) + characters(answer)
    return ids, [IGNORED] * len(prompt) + ids[len(prompt) :]


def test_the_answer_stands_behind_both_prompts_token_by_token():
    changed = maker(louder).change(0, *row("ab c", "xyz"), step=3)
    assert changed == (characters("ab c!!xyz"), 6, 4, [True, True, True])


def test_only_learnt_tokens_are_compared():
    ids, labels = row("ab c", "xyz")
    labels[5] = IGNORED
    assert maker(louder).change(0, ids, labels, 0).compared == [True, False, True]
    assert maker(louder).change(0, ids, [IGNORED] * 7, 0) is None


def test_what_has_no_room_behind_the_longer_prompt_is_not_compared():
    changed = maker(louder, max_length=8).change(0, *row("ab c", "xyz"), step=0)
    assert changed == (characters("ab c!!xy"), 6, 4, [True, True])
    assert maker(louder, max_length=6).change(0, *row("ab c", "xyz"), step=0) is None


def test_an_end_of_the_prompt_that_merged_with_the_answer_has_to_be_the_same():
    """The tokens of prompt and answer are `a b space Q y`: `c` is not its own token in front of `x`."""
    ids, labels = [*characters("ab "), 900, ord("y")], [IGNORED] * 3 + [900, ord("y")]
    assert maker(louder).change(0, ids, labels, 0) is None

    def before(version, rng):
        return "O: " + version.question

    changed = maker(before).change(0, ids, labels, 0)
    assert changed == ([*characters("O: ab "), 900, ord("y")], 6, 3, [True, True])


def test_a_visit_draws_by_seed_step_and_row_only():
    def draw(version, rng):
        return f"{version.question} {rng.random()}"

    drawn = {
        (seed, step, number): VersionMaker([Family("own", "own", draw)], ["ab c"] * 2, characters, None, seed)
        .change(number, *row("ab c", "x"), step)
        .ids
        for seed in (0, 1)
        for step in (0, 1)
        for number in (0, 1)
    }
    assert len({tuple(ids) for ids in drawn.values()}) == 8
    assert (
        drawn[1, 1, 1]
        == VersionMaker([Family("own", "own", draw)], ["", "ab c"], characters, None, 1)
        .change(1, *row("ab c", "x"), 1)
        .ids
    )


def test_a_batch_is_extended_by_the_rows_that_can_be_changed():
    def some(version, rng):
        return None if version.question == "no" else version.question + "!"

    rows = [row("no", "x"), row("ab c", "xyz")]
    ids = torch.tensor([[*rows[0][0], 0, 0, 0, 0], rows[1][0]])
    labels = torch.tensor([[*rows[0][1], *[IGNORED] * 4], rows[1][1]])
    batch = {"input_ids": ids, "labels": labels, "attention_mask": torch.tensor([[1] * 3 + [0] * 4, [1] * 7])}
    plan = maker(some, ("no", "ab c")).extend(batch, [0, 1], 0, pad_id=0)
    assert batch["input_ids"].shape == batch["labels"].shape == batch["attention_mask"].shape == (3, 8)
    assert batch["input_ids"][2].tolist() == characters("ab c!xyz")
    assert batch["labels"][2].tolist() == [IGNORED] * 8
    assert batch["labels"][:2, :7].equal(labels)
    assert batch["attention_mask"].sum(1).tolist() == [3, 7, 8]
    assert {name: value.tolist() for name, value in plan.items()} == {
        "rows": [1], "clean_starts": [4], "starts": [5], "compared": [[True, True, True]],
    }  # fmt: skip
    plan = maker(lambda version, rng: None, ("no", "ab c")).extend(batch, [0, 1, 1], 0, pad_id=0)
    assert (plan["compared"].shape, batch["input_ids"].shape) == ((0, 0), (3, 8))


def test_a_family_that_changes_the_answer_is_refused_where_the_answer_is_known():
    def rename(version, rng):
        return version._replace(question="Who is Bo?", answer="Bo")

    family, row = Family("rename", "rename", rename), {"id": "r", "prompt": "Who is Al?"}
    assert other_prompt([family], row, random.Random(0)) == "Who is Bo?"
    with pytest.raises(FamilyError, match="Family `rename`, row 'r': it changed the answer 'Al' to 'Bo'"):
        other_prompt([family], row | {"answer": "Al"}, random.Random(0))


def test_without_a_name_the_family_is_whitespace(tmp_path):
    (tmp_path / "mine.py").write_text("def own(version, rng):\n    return version.question + '?'\n")
    found = consistency_families(["distractor", "mine.py:own"], tmp_path)
    assert [family.spec for family in found] == ["distractor", f"{tmp_path / 'mine.py'}:own"]
    assert [family.spec for family in consistency_families(None)] == ["whitespace"]


def test_the_prompt_of_a_row():
    turns = [{"role": role, "content": "x"} for role in ("user", "assistant")]
    assert prompt_of({"messages": turns}) == turns[:1]
    for wrong in (turns[1:], turns[::-1]):
        with pytest.raises(ValueError, match="these messages do not end with an answer to something"):
            prompt_of({"messages": wrong})


def test_a_prompt_in_parts_is_changed_as_its_text_is():
    parts = [{"role": "user", "content": [{"type": "text", "text": "1 + 1 ="}]}]
    plain = [{"role": "user", "content": "1 + 1 ="}]
    changed = [other_prompt(consistency_families(["distractor"]), {"prompt": each}, random.Random(0))
               for each in (parts, plain)]  # fmt: skip
    assert changed[0] == changed[1] != plain
