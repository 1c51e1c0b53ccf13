import csv
from pathlib import Path

import numpy as np
import pytest
from loaded_script import load_script
from scipy.stats import spearmanr
from transformers import AutoTokenizer

from align.models.reward_model import RewardModel
from align.services.train import run

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "recipes/deconfound/assets/lab"
FILES = ("train.csv", "eval.csv", "worth.csv", "prompts.jsonl")


def read(name):
    with (LAB / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_script_makes_the_shipped_data(tmp_path):
    load_script("labs.deconfound.make").main(["--out", str(tmp_path), "--data_only"])
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (LAB / name).read_bytes(), name


def test_the_lab_is_small_and_its_tokenizer_knows_every_word():
    assert sum(file.stat().st_size for file in LAB.rglob("*") if file.is_file()) < 2**20
    tokenizer = AutoTokenizer.from_pretrained(LAB / "model")
    texts = [row["prompt"] + row["headline"] for row in read("train.csv") + read("eval.csv")]
    texts += [row["headline"] for row in read("worth.csv")] + ["popularity -0.5\n"]
    assert tokenizer.unk_token_id not in {token for ids in tokenizer(texts)["input_ids"] for token in ids}


@pytest.mark.slow
@pytest.mark.nightly  # a claim in numbers; that the recipe trains is shown by others
def test_the_quickstart_learns_what_headlines_are_worth_and_the_baselines_less(tmp_path):
    known = read("worth.csv")
    worth = np.array([float(row["worth"]) for row in known])
    found = {}
    for estimator in ("iv", "ols", "none"):
        folder = tmp_path / estimator
        words = ["--output_dir", str(folder), "--dataset.estimator", estimator]
        assert run("deconfound/quickstart", words, None) == 0
        scores = RewardModel.load(folder).score(["Headline:\n"] * len(known), [row["headline"] for row in known])
        found[estimator] = spearmanr(scores, worth).statistic
    assert found["iv"] > 0.9
    assert max(found["ols"], found["none"]) < found["iv"] - 0.05
