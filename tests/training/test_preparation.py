"""Rows are prepared once, whatever settings a run has that have nothing to do with it."""

import inspect
import re

import pytest
import trl
from some_recipes import DEMONSTRATIONS, OUTCOMES, PAIRS, REWARD_PAIRS
from trl import DPOTrainer, RewardTrainer

from align.assets import find_recipe
from align.methods import METHODS
from align.recipe.recipe import load_recipe
from align.training import row_sets
from align.training.as_in_trl import Preparation
from align.training.build import build_trainer

KINDS = {
    "pairs": (PAIRS, []),
    "pairs that all count": (PAIRS, ["--spans", "whole", "--kl_coef", "0"]),
    "pairs for a reward model": (REWARD_PAIRS, []),
    "demonstrations": (DEMONSTRATIONS, []),
    "outcomes": (OUTCOMES, ["--dataset.max_rows", "100"]),  # of enough authors for a fit
}


@pytest.mark.parametrize("parent", [DPOTrainer, RewardTrainer])
def test_trl_prepares_pairs_by_these_settings(parent):
    read = set(re.findall(r"\bargs\.(\w+)", inspect.getsource(parent._prepare_dataset)))
    assert read
    assert read <= set(Preparation._fields), (
        f"TRL {trl.__version__} reads other settings; add them to align/training/as_in_trl.py."
    )


@pytest.mark.by_day("pairs", "demonstrations")
@pytest.mark.parametrize("kind", KINDS)
def test_another_run_prepares_nothing(kind, tmp_path, monkeypatch):
    method, settings = KINDS[kind]
    monkeypatch.setattr(row_sets, "LEAST", 3)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")

    def prepare(folder, *words):
        fixed = ["--use_cpu", "true", "--dataset.max_rows", "30", "--output_dir", str(tmp_path / folder)]
        recipe = load_recipe(find_recipe(f"{method}/quickstart"), [*fixed, *settings, *words])
        made = build_trainer(recipe, METHODS[method].part("load")(recipe), []).train_dataset
        return made.to_list(), sorted(path.name for path in (tmp_path / "cache").rglob("*.arrow"))

    first, files = prepare("first", "--max_length", "400")
    assert len(files) > 1
    assert prepare("second", "--max_length", "400", "--learning_rate", "1e-5", "--seed", "3") == (first, files)
    _, others = prepare("third", "--max_length", "399")
    assert len(others) > len(files)  # what does matter is prepared again
