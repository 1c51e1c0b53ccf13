"""The walk-through gives commands that exist, continues where it was killed, and says what its numbers say."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from loaded_script import load_script
from written_evaluation import scores_record

from align.assets import find_recipe
from align.evaluation.statistics.metrics import Estimate
from align.models.rewards import resolve_rewards
from align.recipe.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def page():
    return load_script("labs.walk.page")


@pytest.mark.parametrize("model", ["tiny", "smollm2"])
def test_every_run_of_a_walk_has_a_recipe_that_parses_and_rewards_that_work(model):
    walk_through = load_script("labs.walk.lab")
    stages = walk_through.stages(walk_through.walks()[model], Path("out"), list(walk_through.ARMS), [0, 1])
    assert len({stage.name for stage in stages}) == len(stages) == 2 + 2 * 9
    runs = [stage.words for stage in stages if stage.words[0] == "train"]
    for _, name, *overrides in runs:
        recipe = load_recipe(find_recipe(name), overrides[: overrides.index("--resume")])
        resolve_rewards(recipe)
    assert len(runs) == 7


def test_a_walk_may_go_on_from_a_model_that_is_there_and_merge_nothing():
    walk_through = load_script("labs.walk.lab")
    arms = ["grpo", "shuffled"]
    found = walk_through.stages(walk_through.walks()["tiny"], Path("out"), arms, [3], start="w/cp-8", merging=False)
    names = ["evaluation-before", "grpo-3", "shuffled-3", "evaluation-grpo-3", "evaluation-shuffled-3"]
    assert [stage.name for stage in found] == names
    assert all("w/cp-8" in stage.words for stage in found[1:])
    assert found[-1].words[2:6] == ("out/shuffled-3", "--baseline", "w/cp-8", "out/grpo-3")


def test_only_reinforcement_learning_draws_by_vllm():
    walk_through = load_script("labs.walk.lab")
    found = walk_through.stages(
        walk_through.walks()["smollm2"], Path("out"), ["grpo", "acre"], [0], bf16=True, vllm=True
    )
    runs = {stage.name: stage.words for stage in found if stage.words[0] == "train"}
    assert {name: "--use_vllm" in words for name, words in runs.items()} == {
        "sft": False,
        "grpo-0": True,
        "acre-0": True,
    }
    for _, name, *overrides in runs.values():
        recipe = load_recipe(find_recipe(name), overrides[: overrides.index("--resume")])
        assert recipe.settings.bf16
        assert recipe.uses_vllm == (recipe.method == "acre")


def test_differences_are_those_of_the_evaluation_and_of_letter_biases(page):
    def summary(bias):
        return {"accuracy": Estimate(0.5, 0.4, 0.6, 40), "letter_bias": Estimate(bias, bias - 0.05, bias + 0.05, 40)}

    more = {"accuracy": Estimate(0.3, 0.1, 0.5, 40), "cr_wa": Estimate(0.0, -0.1, 0.1, 40)}
    record = scores_record({"acre-0": summary(0.1), "sft": summary(0.6)}, {"acre-0": {"sft": more}})
    found = page.differences(record)
    assert [each.metric for each in found] == ["accuracy", "letter_bias"]
    assert found[1].estimate.value == pytest.approx(-0.5)
    assert all(page.verdict(each).startswith("acre-0 is better than sft in ") for each in found)


def test_a_verdict_goes_by_the_interval_and_by_which_side_is_better(page):
    def said(metric, *numbers):
        return page.verdict(page.Difference("a", "b", metric, Estimate(*numbers, 200)))

    assert said("accuracy", 0.1, 0.02, 0.2) == "a is better than b in accuracy: 0.10 [0.02, 0.20]"
    assert said("letter_bias", 0.1, 0.02, 0.2) == "a is worse than b in letter bias: 0.10 [0.02, 0.20]"
    assert said("accuracy", 0.1, -0.02, 0.2) == "a and b cannot be told apart in accuracy: 0.10 [-0.02, 0.20]"
    nan = float("nan")
    assert said("accuracy", nan, nan, nan) == "a and b cannot be told apart in accuracy: no data"


def test_over_seeds_the_mean_of_each_comparison_counts(page):
    found = {
        seed: [page.Difference(f"acre-{seed}", "sft", "accuracy", Estimate(value, 0.0, 1.0, 200))]
        for seed, value in ((0, 0.2), (1, 0.3), (12, 0.4))
    }
    (averaged,) = page.over_seeds(found)
    assert averaged[:3] == ("acre", "sft", "accuracy")
    assert str(averaged.estimate) == "0.30 [0.05, 0.55]"


def test_a_model_that_is_missing_is_a_sentence_before_anything_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert load_script("labs.walk.lab").main(["--model", "smollm2"]) == 1
    assert "python -m scripts.models.smollm2 --out models/smollm2-135m" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_stage_that_runs_again_makes_those_behind_it_run_again(tmp_path, capsys):
    stages = load_script("stages")
    first, second = (stages.Stage(name, ("recipes",)) for name in ("first", "second"))
    assert stages.run_stages([first, second], tmp_path) == 0
    assert stages.run_stages([first, second], tmp_path) == 0
    assert capsys.readouterr().out.count("is finished.") == 2
    changed = stages.Stage("first", ("recipes", "--help"))
    assert stages.run_stages([changed, second], tmp_path) == 0
    assert capsys.readouterr().out.count("$ align recipes") == 2
    assert stages.run_stages([stages.Stage("first", ("recipes", "--no_such_option"))], tmp_path) != 0
    assert "The same command continues there." in capsys.readouterr().err


def test_evaluations_of_policies_share_the_answers_of_their_start(tmp_path):
    walk_through = load_script("labs.walk.lab")
    for seed, kind in ((0, "--model"), (1, "--model"), (2, "--reward_model")):
        words = ("eval", kind, "m", "--out", str(tmp_path / f"evaluation-{seed}"))
        walk_through.share_answers(walk_through.Stage(f"evaluation-{seed}", words), tmp_path)
    (tmp_path / "evaluation-0" / "cache" / "cache.db").write_text("answers")
    assert (tmp_path / "evaluation-1" / "cache" / "cache.db").read_text() == "answers"
    assert not (tmp_path / "evaluation-2").exists()


@pytest.mark.nightly  # seven commands, each of which loads its libraries
def test_the_tiny_walk_continues_where_it_was_killed_and_ends_with_its_page(tmp_path):
    out = tmp_path / "walk"
    words = [sys.executable, "-m", "scripts.labs.walk.lab", "--model", "tiny", "--out", str(out)]
    command = [*words, "--max_steps", "2", "--sft_steps", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    started = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (out / "stages" / "evaluation-before.txt").is_file() and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "sft is finished.\nevaluation-before is finished.\n" in done.stdout
    assert done.stdout.count("\n$ align ") == 6
    written = (out / "walk_through.md").read_text(encoding="utf-8")
    assert written.count("\n| acre-0 |") == 1
    assert "acre-0 and grpo-0 cannot be told apart in accuracy" in written
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "$ align" not in again.stdout
