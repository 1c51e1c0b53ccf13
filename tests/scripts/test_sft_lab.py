"""The lab of SFT measures what it says, and the rows of the quickstart are what their script makes."""

import json
import random
from pathlib import Path

import pytest
import torch
from loaded_script import load_script
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lab():
    return load_script("labs.sft.lab")


@pytest.fixture(scope="module")
def model_and_tokenizer(lab):
    model = AutoModelForCausalLM.from_pretrained(lab.MODEL, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(lab.MODEL)


def test_the_shipped_rows_are_those_of_the_script(tmp_path):
    load_script("labs.sft.make").main(["--out", str(tmp_path)])
    for name in ("train", "eval"):
        assert (tmp_path / f"{name}.jsonl").read_text() == (ROOT / f"recipes/sft/assets/lab/{name}.jsonl").read_text()
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert 0.1 < sum(not row["correct"] for row in rows) / len(rows) < 0.3


def test_both_tasks_have_the_digit_that_they_ask_for(lab):
    (old,), (new,) = (lab.make_rows(["01230[1]"], random.Random(0), new=task) for task in (False, True))
    assert old["prompt"].startswith("01230[1]\n")
    assert new["prompt"].startswith("01230(1)\n")
    assert (old["completion"][7], new["completion"][7]) == ("1", "3")
    letter = new["completion"].partition("<answer>")[2][0]
    assert f"{letter}. 3" in new["prompt"]


def test_a_step_of_ascent_drifts_raises_the_loss_and_is_taken_back(lab, model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    ids, labels = lab.tokenise(tokenizer, lab.make_rows(["01230[1]", "33210[4]"], random.Random(0), new=True))
    assert tokenizer.decode(ids[0][labels[0] != -100]).startswith("<think>")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    found = lab.ascend(model, ids, labels)
    assert found["drift"] > 0 < found["rise"]
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_accuracy_counts_rows_that_are_right_throughout(lab, model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    rows = lab.make_rows(["01230[1]", "33210[4]"], random.Random(0), new=False)
    ids, labels = lab.tokenise(tokenizer, rows)
    assert lab.accuracy(model, ids, labels) == 1.0  # it was taught this
    labels[0, -3] = ids[0, -2]
    assert lab.accuracy(model, ids, labels) == 0.5
