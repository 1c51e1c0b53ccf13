import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from tiny import tiny_model, tiny_reward_model, tiny_tokenizer

from align.evaluation.reward_models.reward_model import RewardModel

ROOT = Path(__file__).parents[2]
RUN = Path(__file__).with_name("guarded_run.py")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra `deepspeed`")


def launch(tmp_path, config, what):
    tokenizer = tiny_tokenizer()
    tiny_model(vocabulary=len(tokenizer)).save_pretrained(tmp_path / "policy")
    tiny_reward_model(vocabulary=len(tokenizer)).save_pretrained(tmp_path / "rm")
    tokenizer.save_pretrained(tmp_path / "rm")
    launcher = ["-m", "accelerate.commands.accelerate_cli", "launch", "--config_file", ROOT / "ds_configs" / config]
    words = [*launcher, RUN, tmp_path / "policy", tmp_path / "rm", tmp_path / "out", what]
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=420
    )


@pytest.mark.slow
@pytest.mark.parametrize("config", ["ddp_cpu.yaml", pytest.param("zero3_cpu.yaml", marks=NEEDS_DEEPSPEED)])
def test_ranks_may_log_and_fail_apart(tmp_path, config):
    result = launch(tmp_path, config, "train")
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-6000:]
    facts = json.loads((tmp_path / "out" / "facts.json").read_text())
    entry = next(entry for entry in facts["history"] if "reward" in entry)
    assert facts["processes"] == 2
    assert entry["own/rows"] == 4.0
    assert entry["rewards/uneven/none_share"] == 0.5
    assert entry["rewards/uneven/raw_mean"] == 2.5
    assert entry["rewards/uneven/mean"] == 2.25  # 1, 2, 3, and 4 cut off at 3
    assert entry["rewards/unruly/invalid_share"] == 0.25  # one NaN and one timeout, on the second rank
    assert entry["audit/unruly/mean"] == pytest.approx((1 + 2 + 3 + 4 + 2) / 5)
    rows = pd.read_parquet(tmp_path / "out" / "completions" / "completions_00001.parquet")
    assert list(rows["seen"].dropna()) == ["a", "bb", "ccc", "dddd"]
    assert rows["seen"].isna().tolist() == [False] * 4 + [True] * 4
    assert rows["audit/unruly"].isna().sum() == 3
    lines = [json.loads(line) for line in (tmp_path / "out" / "rewards.jsonl").read_text().splitlines()]
    assert [(line["step"], line["reward"]) for line in lines] == [
        (step, name) for step in (1, 2) for name in ("uneven", "judged", "unruly")
    ]
    assert lines[2]["invalid"] == {"not finite": 1, "timeout": 1}
    here = RewardModel.load(tmp_path / "rm", device="cpu").score(["q0?"], ["a"])
    assert facts["score"] == pytest.approx(here.tolist(), abs=1e-5)


@pytest.mark.slow
def test_a_reward_that_fails_on_one_rank_ends_both(tmp_path):
    result = launch(tmp_path, "ddp_cpu.yaml", "fail")
    assert result.returncode != 0
    assert (
        result.stderr.count("RewardError: Reward `failing`: 4 of 8 values of this step are invalid (4 x error)") == 2
    )
    assert "ZeroDivisionError" in result.stderr
