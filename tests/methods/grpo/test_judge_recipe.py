"""The shipped recipe with a judge, against a real HTTP server."""

import json

import pandas as pd
import pytest
from chat_server import ChatServer
from started import metrics_of

from align.assets import find_recipe
from align.checks.launch import Launch
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare
from align.services.train import run

RECIPE = find_recipe("grpo/smollm2-135m-judge")
TINY = [
    "--max_steps", "2", "--max_completion_length", "8", "--per_device_train_batch_size", "8",
    "--num_generations", "4", "--save_strategy", "no", "--report_to", "none", "--reward_kwargs.Judge.model", "tiny",
]  # fmt: skip


@pytest.mark.slow
def test_the_judge_is_asked_by_the_rubric_and_its_scores_are_the_rewards(tmp_path, tiny_model_folder):
    def answer(body, times):
        text = body["messages"][-1]["content"]
        assert "could stand in a good dictionary for children" in text  # the rubric
        assert "Explain it to a child in one or two short sentences." in text  # the prompt, made of `thing`
        return json.dumps({"reason": "short", "score": 2 + 6 * (len(text) % 2)})

    with ChatServer(answer) as server:
        words = [*TINY, "--reward_kwargs.Judge.endpoint", server.url, "--reward_kwargs.Judge.cache"]
        words += [str(tmp_path / "judged"), "--model_name_or_path", str(tiny_model_folder)]
        words += ["--output_dir", str(tmp_path / "run")]
        checked = prepare(load_recipe(RECIPE, words), Launch())
        assert [finding.text for finding in checked.errors] == []
        before = len(server.bodies)
        assert run(str(RECIPE), words, None) == 0
        assert len(server.bodies) > before
    tables = [pd.read_parquet(each) for each in (tmp_path / "run/completions").glob("*.parquet")]
    assert {round(score, 6) for table in tables for score in table["judge"]} == {0.2, 0.8}  # 2 and 8 of 10, in float32
    metrics = metrics_of(tmp_path / "run")
    assert sorted(metrics) == [1, 2]
    for line in metrics.values():
        assert line["judge/unread_share"] == 0.0
        assert line["rewards/judge/flaky_share"] == 0.0  # the same request, the same score
        assert line["grad_norm"] > 0
