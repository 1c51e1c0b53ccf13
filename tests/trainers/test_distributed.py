import json
import os
import re
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from tiny import tiny_model, tiny_reward_model, tiny_tokenizer, tiny_vl_model_and_processor

ROOT = Path(__file__).parents[2]
RUN = Path(__file__).with_name("sharded_run.py")
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra `deepspeed`")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
LAUNCHES = [
    ("ddp_cpu", 0, "full"),
    pytest.param("zero2_cpu", 2, "full", marks=NEEDS_DEEPSPEED),
    pytest.param("zero3_cpu", 3, "full", marks=NEEDS_DEEPSPEED),
    pytest.param("zero3_cpu", 3, "lora", marks=NEEDS_DEEPSPEED),
]


def run(*words):
    result = subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=420
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    return result.stdout


def save_model(folder, method, **settings):
    if method.endswith("_images"):
        tiny_vl_model_and_processor()[0].save_pretrained(folder)
        return
    make = tiny_reward_model if method in ("crome", "deconfound") else tiny_model
    make(vocabulary=len(tiny_tokenizer()), **settings).save_pretrained(folder)


def launch_training(tmp_path, launch, zero_stage, method, weights, **model_settings):
    """Trains in two processes, checks what every method must leave, and returns the log."""
    save_model(tmp_path / "model", method, **model_settings)
    config, out = ROOT / "ds_configs" / f"{launch}.yaml", tmp_path / "out"
    launcher = ("-m", "accelerate.commands.accelerate_cli", "launch", "--config_file", config)
    run(*launcher, RUN, method, tmp_path / "model", out, weights)

    facts = json.loads((out / "facts.json").read_text())
    assert facts["processes"] == 2
    assert facts["zero_stage"] == zero_stage
    steps = [entry for entry in facts["history"] if "grad_norm" in entry]
    assert len(steps) == 2
    assert all(0 < entry["grad_norm"] < 1e4 for entry in steps)
    assert (out / "checkpoint-2" / "trainer_state.json").is_file()
    difference = re.search(r"difference (\S+)", run(RUN, "reload", method, out))
    assert float(difference[1]) < 1e-4
    return steps


@pytest.mark.slow
@pytest.mark.parametrize(("launch", "zero_stage", "weights"), LAUNCHES)
def test_acre_trains_in_two_processes_and_reloads(tmp_path, launch, zero_stage, weights):
    steps = launch_training(tmp_path, launch, zero_stage, "acre", weights)
    assert [entry["acre/asked_again"] for entry in steps] == [0.5, 0.5]  # all of rank 0, none of rank 1
    rows = pd.read_parquet(tmp_path / "out" / "completions" / "completions_00001.parquet")
    assert rows["outcome"].notna().sum() == 4


@NEEDS_DEEPSPEED
@pytest.mark.slow
def test_acre_with_images_trains_in_two_processes_and_reloads(tmp_path):
    pytest.importorskip("torchvision", reason="needs the extra `vision`")
    steps = launch_training(tmp_path, "zero3_cpu", 3, "acre_images", "full")
    assert [entry["acre/asked_again"] for entry in steps] == [0.5, 0.5]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    """Trains on the batch of both processes in this one; returns the log."""

    @cache
    def train(method, weights, **model_settings):
        folder = tmp_path_factory.mktemp("one")
        save_model(folder / "model", method, **model_settings)
        run(RUN, method, folder / "model", folder / "out", weights, "8")
        history = json.loads((folder / "out" / "facts.json").read_text())["history"]
        return [entry for entry in history if "grad_norm" in entry]

    return train


def assert_same_log(found, expected, names):
    for name in names:
        ours, right = ([entry[name] for entry in log] for log in (found, expected))
        assert ours == pytest.approx(right, rel=1e-3, abs=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize(("launch", "zero_stage", "weights"), LAUNCHES)
def test_rrpo_trains_in_two_processes_and_reloads(tmp_path, one_process, launch, zero_stage, weights, tied):
    steps = launch_training(tmp_path, launch, zero_stage, "rrpo", weights, tie_word_embeddings=tied)
    expected = one_process("rrpo", weights, tie_word_embeddings=tied)
    assert_same_log(steps, expected, ["loss", "grad_norm", "rrpo/kl_chosen", "rewards/margins"])


@NEEDS_DEEPSPEED
@pytest.mark.slow
def test_rrpo_with_images_trains_in_two_processes_and_reloads(tmp_path, one_process):
    pytest.importorskip("torchvision", reason="needs the extra `vision`")
    steps = launch_training(tmp_path, "zero3_cpu", 3, "rrpo_images", "full")
    expected = one_process("rrpo_images", "full")
    assert_same_log(steps, expected, ["loss", "grad_norm", "rrpo/kl_chosen", "rewards/margins"])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["crome", "crome_pairwise"])
@pytest.mark.parametrize(("launch", "zero_stage", "weights"), LAUNCHES)
def test_crome_trains_in_two_processes_and_reloads(tmp_path, one_process, launch, zero_stage, weights, method):
    steps = launch_training(tmp_path, launch, zero_stage, method, weights)
    expected = one_process(method, weights)
    assert_same_log(steps, expected, ["loss", "grad_norm", "accuracy", "crome/tie_margin", "crome/margin_preference"])


@pytest.mark.slow
@pytest.mark.parametrize(("launch", "zero_stage", "weights"), LAUNCHES)
def test_deconfound_trains_in_two_processes_and_reloads(tmp_path, one_process, launch, zero_stage, weights):
    steps = launch_training(tmp_path, launch, zero_stage, "deconfound", weights)
    expected = one_process("deconfound", weights)
    assert_same_log(
        steps, expected, ["loss", "grad_norm", "deconfound/mse", "deconfound/correlation_age", "deconfound/target_age"]
    )
