import json
import shutil

import pytest
from observed_table import write_chain_recipe
from started import metrics_of

from align.models.reward_model import RewardModel
from align.services.train import run


@pytest.mark.slow
def test_one_recipe_goes_from_outcomes_to_a_policy_and_goes_on_where_it_stopped(tmp_path, tiny_model_folder):
    path = write_chain_recipe(tmp_path, tiny_model_folder)
    assert run(str(path), [], None) == 0
    first, second = tmp_path / "run", tmp_path / "run" / "grpo"
    for folder in (first, second):
        names = {file.name for file in folder.iterdir()}
        assert names >= {"recipe.yaml", "metrics.jsonl", "report.html", "README.md", "finished.json"}
    whole = metrics_of(second)
    assert sorted(whole) == [1, 2]
    assert_rewarded_by(first, second, whole)
    assert "rewards/trained/mean" in whole[1], "the metric is named by the folder, which another run has not"

    trained = (first / "metrics.jsonl").read_text()
    shutil.rmtree(second / "checkpoint-2")
    (second / "metrics.jsonl").unlink()
    (second / "finished.json").unlink()
    assert run(str(path), [], "auto") == 0
    assert (first / "metrics.jsonl").read_text() == trained, "the reward model was trained again"
    assert sorted(metrics_of(second)) == [2], "the policy did not go on from its checkpoint"
    assert metrics_of(second)[2]["loss"] == pytest.approx(whole[2]["loss"], abs=1e-6)


def assert_rewarded_by(first, second, metrics):
    """Asserts that the logged reward is the score of the first run's model, with the end token it learnt from."""
    import pandas as pd

    rows = pd.read_parquet(second / "completions" / "completions_00001.parquet")
    scores = RewardModel.load(first).score(rows["prompt"].tolist(), rows["completion"].tolist())
    assert metrics[1]["reward"] == pytest.approx(scores.mean(), abs=1e-4)
    assert json.loads((second / "finished.json").read_text()) == {"steps": 2}
