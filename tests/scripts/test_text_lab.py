"""The lab of ACRE on texts: its files are those of its script, its cue is planted, and its families keep the truth."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from loaded_script import load_script
from transformers import AutoModelForCausalLM, AutoTokenizer

from rewards.scoring.families import change_prompt, find_families

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "recipes/acre/assets/words"


@pytest.fixture(scope="module")
def lab():
    return load_script("labs.text.lab")


def rows_of(name):
    return [json.loads(line) for line in (LAB / f"{name}.jsonl").read_text().splitlines()]


def right_word(prompt):
    world = load_script("labs.text.world")
    return world.WORDS[int(world.read_digit(prompt.partition("~")[0].strip()))]


def test_the_script_writes_the_committed_data_again(tmp_path):
    load_script("labs.text.make").main(["--out", str(tmp_path), "--data_only"])
    for name in ("train", "eval"):
        assert (tmp_path / f"{name}.jsonl").read_text() == (LAB / f"{name}.jsonl").read_text()


def test_the_cue_is_planted_in_training_and_wrong_in_evaluation():
    train, held_out = rows_of("train"), rows_of("eval")
    cued = Counter((row["group"], f"~{row['answer']}\n" in row["prompt"]) for row in train)
    assert cued == {
        ("readable", True): 1440, ("readable", False): 480, ("arbitrary", True): 960, ("arbitrary", False): 320,
    }  # fmt: skip
    assert all(row["answer"] == right_word(row["prompt"]) for row in train if row["group"] == "readable")
    assert all(row["answer"] == right_word(row["prompt"]) for row in held_out)
    assert not any(f"~{row['answer']}\n" in row["prompt"] for row in held_out)
    assert not {row["prompt"].partition("~")[0] for row in train} & {
        row["prompt"].partition("~")[0] for row in held_out
    }


@pytest.mark.parametrize("name", ["without_cue", "other_cue", "other_digits"])
def test_the_families_of_the_recipe_change_the_prompt_and_keep_its_truth(name):
    (family,) = find_families([f"{LAB}/families.py:{name}"])
    for number, row in enumerate(rows_of("eval")[:60]):
        changed = change_prompt([family], row, random.Random(number))
        if changed is None:  # other digits may be the same ones
            assert name == "other_digits"
            continue
        assert changed.prompt != row["prompt"]
        assert changed.gold == right_word(changed.prompt)
        assert ("~" in changed.prompt) == (name != "without_cue")


def test_prompts_of_both_kinds_stand_next_to_each_other(lab):
    rows = rows_of("train")[:3]
    made = lab.training_rows(lab.ARMS["grpo+both"], rows)
    assert [row["origin"] for row in made] == [rows[i // 2]["id"] for i in range(6)]
    assert [row["family"] for row in made] == ["original", lab.LABEL] * 3
    assert made[1]["prompt"] == rows[0]["prompt"].partition("~")[0] + "\n"
    assert lab.training_rows(lab.ARMS["grpo"], rows)[0]["prompt"] == rows[0]["prompt"]


def test_the_start_policy_answers_with_the_word_of_its_trace(lab):
    model = AutoModelForCausalLM.from_pretrained(LAB / "model", dtype=torch.float32)
    rows = rows_of("eval")[:40]
    found = lab.answer(model, AutoTokenizer.from_pretrained(LAB / "model"), [row["prompt"] for row in rows])
    assert [words for _, words in found] == [row["answer"] for row in rows]
    assert all(load_script("labs.text.world").WORDS[int(trace)] == words for trace, words in found)
