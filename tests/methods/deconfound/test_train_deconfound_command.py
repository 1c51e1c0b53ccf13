import json
import re

import pytest
from observed_table import write_outcome_recipe
from started import metrics_of, train_and_kill

from align.services.train import run

pytestmark = pytest.mark.slow

LORA = {"use_peft": True, "lora_r": 4}


@pytest.mark.by_day("lora-messages")
@pytest.mark.parametrize(("settings", "messages"), [({}, False), (LORA, True)], ids=["full-text", "lora-messages"])
def test_a_run_leaves_a_model_that_its_card_can_load(tmp_path, tiny_model_folder, settings, messages):
    dataset = {"eval_path": "./eval.csv", "conversational": messages}
    evaluation = {"dataset": dataset, "eval_strategy": "steps", "eval_steps": 4}
    assert run(str(write_outcome_recipe(tmp_path, tiny_model_folder, **evaluation, **settings)), [], None) == 0
    folder = tmp_path / "run"
    assert {file.name for file in folder.iterdir()} >= {
        "recipe.yaml", "versions.json", "metrics.jsonl", "checkpoint-2", "checkpoint-4", "README.md", "report.html",
        "correction.json", "reward_scale.json", "tokenizer.json",
    }  # fmt: skip
    assert (folder / "checkpoint-4" / "correction.json").read_text() == (folder / "correction.json").read_text()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {"deconfound/mse", "deconfound/correlation_popularity", "deconfound/target_popularity"} <= set(lines[0])
    (evaluated,) = [line for line in lines if "eval_loss" in line]
    assert evaluated["eval_deconfound/mse"] == pytest.approx(evaluated["eval_loss"], abs=1e-5)
    page = (folder / "report.html").read_text()
    assert "Does the reward lean on popularity?" in page
    card = (folder / "README.md").read_text()
    assert "DeconfoundLM" in card
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        code = code.replace('"."', repr(str(folder)))
        exec(re.sub(r"^model\.score", "score = model.score", code, flags=re.MULTILINE), names)
    assert names["reward"].item() == pytest.approx(names["score"][0], abs=1e-5)


def test_a_model_that_reads_confounders_leaves_a_card_that_says_so(tmp_path, tiny_model_folder):
    path = write_outcome_recipe(tmp_path, tiny_model_folder, dataset={"estimator": "input"})
    assert run(str(path), [], None) == 0
    card = (tmp_path / "run" / "README.md").read_text()
    assert "Write the `prefix` of `reward_scale.json` before\nevery prompt" in card


@pytest.mark.nightly  # in CI tests/scripts/test_kill_test.py kills a run with full weights
@pytest.mark.parametrize("settings", [{}, LORA], ids=["full", "lora"])
def test_a_killed_run_resumes_to_the_end_of_an_uninterrupted_one(tmp_path, tiny_model_folder, settings):
    path = write_outcome_recipe(tmp_path, tiny_model_folder, max_steps=16, save_steps=1, **settings)
    assert run(str(path), ["--output_dir", str(tmp_path / "whole")], None) == 0
    assert train_and_kill(path, tmp_path / "run") < 16, "the run ended before it was killed"
    assert run(str(path), [], "auto") == 0
    expected, found = metrics_of(tmp_path / "whole"), metrics_of(tmp_path / "run")
    assert sorted(found) == list(range(1, 17))
    for step, line in expected.items():
        for key in ("loss", "deconfound/mse", "deconfound/correlation_corrected", "learning_rate"):
            assert found[step][key] == pytest.approx(line[key], abs=1e-6), (step, key)
