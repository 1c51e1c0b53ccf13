import json
import os
import re
import subprocess
import sys
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


@pytest.mark.slow
@pytest.mark.parametrize(("launch", "zero_stage", "weights"), LAUNCHES)
def test_two_processes_train_save_and_reload(tmp_path, launch, zero_stage, weights):
    tiny_model(vocabulary=len(tiny_tokenizer())).save_pretrained(tmp_path / "model")
    config = ROOT / "ds_configs" / f"{launch}.yaml"
    out = tmp_path / "out"
    run(
        "-m",
        "accelerate.commands.accelerate_cli",
        "launch",
        "--config_file",
        config,
        RUN,
        tmp_path / "model",
        out,
        weights,
    )

    facts = json.loads((out / "facts.json").read_text())
    assert facts["processes"] == 2
    assert facts["zero_stage"] == zero_stage
    steps = [entry for entry in facts["history"] if "acre/asked_again" in entry]
    assert [entry["acre/asked_again"] for entry in steps] == [0.5, 0.5]  # all of rank 0, none of rank 1
    assert all(0 < entry["grad_norm"] < 1e4 for entry in steps)
    rows = pd.read_parquet(out / "completions" / "completions_00001.parquet")
    assert rows["outcome"].notna().sum() == 4
    assert (out / "checkpoint-2" / "trainer_state.json").is_file()

    difference = re.search(r"difference (\S+)", run(RUN, "reload", out))
    assert float(difference[1]) < 1e-4
