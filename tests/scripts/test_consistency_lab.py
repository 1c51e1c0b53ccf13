"""The lab of consistency measures what it says."""

import random

import pytest
import torch
from loaded_script import load_script
from transformers import AutoModelForCausalLM, AutoTokenizer


@pytest.fixture(scope="module")
def lab():
    return load_script("labs.consistency.lab")


def test_greedy_answers_do_not_depend_on_the_other_rows_and_flips_are_counted(lab):
    model = AutoModelForCausalLM.from_pretrained(lab.MODEL, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(lab.MODEL)
    rows = lab.make_rows(["01230[1]", "33210[4]"], random.Random(0), new=False)
    alone = [tokenizer.decode(lab.answer(model, tokenizer, [row])[0]) for row in rows]
    assert alone == [row["completion"] for row in rows]  # it was taught this
    longer = lab.perturb(rows, lab.MEASURED["distractor"], "0")
    assert torch.equal(lab.answer(model, tokenizer, rows + longer)[:2], lab.answer(model, tokenizer, rows))
    found = lab.measure(model, tokenizer, rows, 0)
    assert found["right"] == 1
    for name in lab.MEASURED:  # a right answer that flips is wrong
        assert found[f"flip_{name}"] == pytest.approx(1 - found[f"right_{name}"])


def test_families_of_the_lab_keep_the_question(lab):
    (row,) = lab.make_rows(["01230[1]"], random.Random(0), new=True)
    for name, family in lab.MEASURED.items():
        (changed,) = lab.perturb([row], family, "0")
        assert row["prompt"] in changed["prompt"] != row["prompt"], name
        assert changed["completion"] == row["completion"]
