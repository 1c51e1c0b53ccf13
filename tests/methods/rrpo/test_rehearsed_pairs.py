import numpy as np
import pytest
import torch
from pair_recipe import fact_pairs, sourced_pairs, write_pair_recipe, write_reward_recipe
from tiny import tiny_reward_model, tiny_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

import align
from align.methods.pairs import rehearsal


def of(result, name):
    return next(each.estimate for each in result.record.found.measures if each.name == name)


def checks(result):
    return {each.check for each in result.findings}


@pytest.mark.parametrize("messages", [False, True])
def test_pairs_are_read_with_the_start_model_once(tiny_model_folder, tmp_path, monkeypatch, messages):
    rows, reads, read = fact_pairs(10, messages=messages), [], rehearsal.token_nll
    path = write_pair_recipe(tmp_path, tiny_model_folder, rows)
    monkeypatch.setattr(rehearsal, "token_nll", lambda *given, **how: reads.append(1) or read(*given, **how))
    result = align.rehearse(path, out=tmp_path / "out")
    assert len(reads) == 1
    again = align.rehearse(path, out=tmp_path / "out")
    assert len(reads) == 1  # what was read is kept
    assert of(again, "ordered") == of(result, "ordered")
    assert of(result, "length_only").value == 0
    assert 0 < of(result, "loss_tokens").value < 1
    if messages:
        return
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tmp_path / "model"),
        AutoTokenizer.from_pretrained(tmp_path / "model"),
    )
    right = []
    for row in rows:
        sums = []
        for side in ("chosen", "rejected"):
            prompt = tokenizer(row["prompt"])["input_ids"]
            ids = tokenizer(row["prompt"] + row[side] + tokenizer.eos_token, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                log_probs = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
            sums.append(float(log_probs[len(prompt) - 1 :].sum()))
        right.append(float(sums[0] > sums[1]))
    assert of(result, "ordered").value == pytest.approx(np.mean(right))


def test_pairs_that_differ_in_length_only_are_sick(tiny_model_folder, tmp_path):
    rows = [
        row | {"rejected": row["chosen"], "chosen": row["chosen"] + " So it is, and so on."} for row in fact_pairs(24)
    ]
    result = align.rehearse(write_pair_recipe(tmp_path, tiny_model_folder, rows), out=tmp_path / "out")
    assert of(result, "length_only").value == 1
    assert of(result, "chosen_longer").value == 1
    assert "lengths" in checks(result)


def test_a_start_that_is_a_reward_model_has_margins_by_source_and_a_new_head_has_none(tiny_model_folder, tmp_path):
    result = align.rehearse(write_reward_recipe(tmp_path, tiny_model_folder), out=tmp_path / "out")
    assert [each.check for each in result.record.found.findings] == ["margins"]
    assert not [each for each in result.record.found.measures if each.name == "ordered"]

    tiny_reward_model(vocabulary=len(tiny_tokenizer())).save_pretrained(tmp_path / "scalar")
    tiny_tokenizer().save_pretrained(tmp_path / "scalar")
    path = write_reward_recipe(tmp_path, tiny_model_folder, sourced_pairs(24), model_name_or_path="./scalar")
    result = align.rehearse(path, out=tmp_path / "other")
    assert 0 <= of(result, "ordered").value <= 1
    (table,) = result.record.found.tables
    assert [row[:2] for row in table.rows] == [("preference", "6"), ("upgrade", "6"), ("degrade", "6")]  # no ties
