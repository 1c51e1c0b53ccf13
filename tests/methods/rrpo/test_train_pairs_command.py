import json
import re

import pandas as pd
import pytest
import torch
from pair_recipe import fact_pairs, sourced_pairs, write_pair_recipe, write_reward_recipe
from safetensors.torch import load_file
from started import metrics_of, train_and_kill

from align.services.train import run

pytestmark = pytest.mark.slow

LORA = {"use_peft": True, "lora_r": 4}


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    def write(**changes):
        return write_pair_recipe(tmp_path, tiny_model_folder, fact_pairs(16), **changes)

    return write


def test_a_run_on_pairs_leaves_everything_one_needs_to_trust_it(recipe, tmp_path, capsys):
    assert run(str(recipe(dataset={"eval_path": "./train.jsonl"}, eval_strategy="steps", eval_steps=4)), [], None) == 0
    folder = tmp_path / "run"
    assert {file.name for file in folder.iterdir()} >= {
        "recipe.yaml", "versions.json", "metrics.jsonl", "pairs.parquet", "checkpoint-2", "checkpoint-4", "README.md",
        "report.html", "model.safetensors", "tokenizer.json",
    }  # fmt: skip
    metrics = metrics_of(folder)
    assert sorted(metrics) == [1, 2, 3, 4]
    assert {"rewards/margins", "rrpo/kl_chosen", "rrpo/logp_change_shared", "rrpo/marked_share"} <= set(metrics[1])
    assert metrics[4]["rewards/margins"] > 0 < metrics[4]["rrpo/kl_chosen"]
    evaluated = [
        json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines() if "eval_loss" in line
    ]
    assert [line["step"] for line in evaluated] == [4]
    pairs = pd.read_parquet(folder / "pairs.parquet")
    assert len(pairs) == 16
    assert {row.chosen[slice(*row.chosen_spans[0])].isdigit() for row in pairs.itertuples()} == {True}
    assert "RRPO" in (folder / "README.md").read_text()
    shown = capsys.readouterr()
    assert str(folder / "report.html") in shown.out
    assert re.search(r"^step 4/4  accuracy \S+  margin \S+  kl per token \S+  \S+ s a step$", shown.err, re.MULTILINE)
    assert "examples/s" not in shown.err  # bars of rows, where there is no terminal


@pytest.mark.by_day("lora-messages")
@pytest.mark.parametrize(("settings", "messages"), [({}, False), (LORA, True)], ids=["full-text", "lora-messages"])
def test_a_run_of_a_reward_model_leaves_a_model_that_its_card_can_load(
    tmp_path, tiny_model_folder, settings, messages
):
    rows = sourced_pairs(16, messages=messages)
    evaluation = {"dataset": {"eval_path": "./train.jsonl"}, "eval_strategy": "steps", "eval_steps": 4}
    assert run(str(write_reward_recipe(tmp_path, tiny_model_folder, rows, **evaluation, **settings)), [], None) == 0
    folder = tmp_path / "run"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {"accuracy", "margin", "mean_reward", "crome/tie_share"} <= set(lines[0])
    (evaluated,) = [line for line in lines if "eval_loss" in line]
    assert {"eval_accuracy", "eval_crome/accuracy_upgrade", "eval_crome/tie_margin"} <= set(evaluated)
    pairs = pd.read_parquet(folder / "pairs.parquet")
    assert pairs.groupby("source").tie.agg(["size", "all"]).to_dict("list") == {
        "size": [4, 4, 4, 4], "all": [False, True, False, False],
    }  # fmt: skip
    assert "Margin of ties" in (folder / "report.html").read_text()

    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL):
        code = code.replace('"."', repr(str(folder)))
        exec(re.sub(r"^model\.score", "score = model.score", code, flags=re.MULTILINE), names)
    assert names["reward"].item() == pytest.approx(names["score"][0], abs=1e-5)


RRPO = (write_pair_recipe, ("loss", "rewards/margins", "rrpo/kl_chosen", "learning_rate"))
CROME = (write_reward_recipe, ("loss", "margin", "mean_reward", "learning_rate"))


@pytest.mark.parametrize(
    ("write", "keys", "settings"),
    [
        pytest.param(*CROME, LORA, id="crome-lora"),  # the score head is saved beside the adapter
        # In CI tests/scripts/test_kill_test.py kills a run with full weights, and compares every number that it logs.
        # The reference is the model of the recipe, not the checkpoint.
        pytest.param(*RRPO, {}, id="rrpo-full", marks=pytest.mark.nightly),
        pytest.param(*RRPO, LORA, id="rrpo-lora", marks=pytest.mark.nightly),
        pytest.param(*CROME, {}, id="crome-full", marks=pytest.mark.nightly),
    ],
)
def test_a_killed_run_on_pairs_resumes_to_the_end_of_an_uninterrupted_one(
    tmp_path, tiny_model_folder, write, keys, settings
):
    steps = 16
    path = write(tmp_path, tiny_model_folder, sourced_pairs(16), max_steps=steps, save_steps=1, **settings)
    assert run(str(path), ["--output_dir", str(tmp_path / "whole")], None) == 0
    assert train_and_kill(path, tmp_path / "run") < steps, "the run ended before it was killed"
    assert run(str(path), [], "auto") == 0

    expected, found = metrics_of(tmp_path / "whole"), metrics_of(tmp_path / "run")
    assert sorted(found) == list(range(1, steps + 1))
    for step, line in expected.items():
        for key in keys:
            assert found[step][key] == pytest.approx(line[key], abs=1e-6), (step, key)
    name = "adapter_model.safetensors" if settings else "model.safetensors"
    weights = [load_file(tmp_path / folder / name) for folder in ("whole", "run")]
    for key, weight in weights[0].items():
        torch.testing.assert_close(weights[1][key], weight, rtol=0, atol=1e-6)
