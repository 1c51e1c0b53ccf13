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
from tiny import tiny_model, tiny_tokenizer

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


def launch_training(tmp_path, launch, zero_stage, method, weights, **model_settings):
    """Trains in two processes, checks what every method must leave, and returns the log."""
    tiny_model(vocabulary=len(tiny_tokenizer()), **model_settings).save_pretrained(tmp_path / "model")
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
    difference = re.search(r"difference (\S+)", run(RUN, "reload", out))
    assert float(difference[1]) < 1e-4
    return steps


@pytest.mark.slow
@pytest.mark.parametrize(("launch", "zero_stage", "weights"), LAUNCHES)
def test_acre_trains_in_two_processes_and_reloads(tmp_path, launch, zero_stage, weights):
    steps = launch_training(tmp_path, launch, zero_stage, "acre", weights)
    assert [entry["acre/asked_again"] for entry in steps] == [0.5, 0.5]  # all of rank 0, none of rank 1
    rows = pd.read_parquet(tmp_path / "out" / "completions" / "completions_00001.parquet")
    assert rows["outcome"].notna().sum() == 4


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize(("launch", "zero_stage", "weights"), LAUNCHES)
def test_rrpo_trains_in_two_processes_and_reloads(tmp_path, rrpo_in_one_process, launch, zero_stage, weights, tied):
    steps = launch_training(tmp_path, launch, zero_stage, "rrpo", weights, tie_word_embeddings=tied)
    expected = rrpo_in_one_process(weights, tied)
    for name in ("loss", "grad_norm", "rrpo/kl_chosen", "rewards/margins"):
        found, right = ([entry[name] for entry in log] for log in (steps, expected))
        assert found == pytest.approx(right, rel=1e-3, abs=1e-5), name


@pytest.fixture(scope="module")
def rrpo_in_one_process(tmp_path_factory):
    """Trains on the batch of both processes in this one; returns the log."""

    @cache
    def train(weights, tied):
        folder = tmp_path_factory.mktemp("one")
        tiny_model(vocabulary=len(tiny_tokenizer()), tie_word_embeddings=tied).save_pretrained(folder / "model")
        run(RUN, "rrpo", folder / "model", folder / "out", weights, "8")
        history = json.loads((folder / "out" / "facts.json").read_text())["history"]
        return [entry for entry in history if "grad_norm" in entry]

    return train
