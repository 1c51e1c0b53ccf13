"""Pairs whose messages are texts in one place and parts in another, as TRL's DPO reads them."""

import pytest
from datasets import Dataset, Features, Image, List, Value
from scenes import square
from test_rrpo_images import DPOTrainer, first_batch, make_trainer

from align.data.pairs.preferences import check_pair, pairs_to_rows
from align.training.build import as_dataset

pytest.importorskip("torchvision", reason="needs the extra `vision`")
MESSAGES = List({"role": Value("string"), "content": List({"type": Value("string"), "text": Value("string")})})
FEATURES = Features(prompt=MESSAGES, chosen=MESSAGES, rejected=MESSAGES, images=List(Image()))
NEARLY = {"spans": "whole", "kl_coef": 1e-12}
NEUTRAL = {"spans": "whole", "kl_coef": 0.0}
IMAGE = None


def says(role, *parts):
    kinds = {True: {"type": "image", "text": None}}
    content = [kinds.get(part is IMAGE, {"type": "text", "text": part}) for part in parts]
    return {"role": role, "content": content}


def pair(*prompt, images=1):
    sides = {side: [says("assistant", f"It is {word}.")] for side, word in (("chosen", "red"), ("rejected", "blue"))}
    return {"prompt": list(prompt), **sides, "images": [square()] * images}


ASKED = says("user", IMAGE, "What?")
MIXTURES = {
    "a system message": [pair(says("system", "Be brief."), ASKED)] * 2,
    "a row of text": [pair(ASKED), pair(says("user", "What is it?"), images=0)],
    "text first": [pair(says("user", "What is it?"), images=0), pair(ASKED)],
    "first of two turns": [pair(ASKED, says("assistant", "That."), says("user", "Sure?"))] * 2,
    "second of two turns": [pair(says("user", "Hello"), says("assistant", "Hi."), ASKED)] * 2,
}
mixtures = pytest.mark.parametrize("rows", MIXTURES.values(), ids=MIXTURES)


def read(tmp_path, rows, **settings):
    """Returns what a trainer logs of the first batch."""
    settings = {"per_device_train_batch_size": 2, "train_sampling_strategy": "sequential", "max_steps": 1} | settings
    trainer = make_trainer(tmp_path, "qwen2_5_vl", rows, **settings)
    assert not any(getattr(trainer, "num_left_out", {}).values())
    trainer.compute_loss(trainer.model.train(), first_batch(trainer))
    return trainer._metrics["train"]


@pytest.mark.by_day("text first", "second of two turns")
@mixtures
def test_a_mixture_is_read_as_dpo_reads_it(tmp_path, rows):
    table = Dataset.from_list(rows, features=FEATURES)
    ours, theirs = read(tmp_path, table, **NEARLY), read(tmp_path, table, trainer=DPOTrainer)
    for key in ("logps/chosen", "logps/rejected", "num_tokens"):
        assert ours[key] == pytest.approx(theirs[key], abs=1e-3), key
        assert len(ours[key]) == 1, key


@pytest.mark.by_day("text first", "second of two turns")
@mixtures
def test_rows_of_a_recipe_are_read_alike_by_both(tmp_path, rows):
    pairs = [check_pair(row, name=str(i)) for i, row in enumerate(rows)]
    assert {type(said["content"]) for row in pairs_to_rows(pairs) for said in row["prompt"]} == {list}
    table = as_dataset(pairs_to_rows(pairs))
    ours, theirs = read(tmp_path, table, **NEARLY), read(tmp_path, table, **NEUTRAL)
    assert ours["logps/chosen"] == pytest.approx(theirs["logps/chosen"], abs=1e-3)
