import json
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from started import WITHOUT_VLLM, launch
from tiny import tiny_model, tiny_reward_model, tiny_tokenizer

from align.evaluation.reward_models.reward_model import RewardModel

RUN = Path(__file__).with_name("guarded_run.py")
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra `deepspeed`")

DDP = ("ddp_cpu.yaml", "train", "fail")
ZERO3 = ("zero3_cpu.yaml", "train")


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """Trains in two processes when first asked; returns how they ended and their folder."""
    return cache(partial(train, tmp_path_factory))


def train(tmp_path_factory, config, *runs):
    folder, tokenizer = tmp_path_factory.mktemp(config), tiny_tokenizer()
    tiny_model(vocabulary=len(tokenizer)).save_pretrained(folder / "policy")
    tiny_reward_model(vocabulary=len(tokenizer)).save_pretrained(folder / "rm")
    tokenizer.save_pretrained(folder / "rm")
    return launch(config, WITHOUT_VLLM, RUN, folder / "policy", folder / "rm", folder / "out", *runs), folder


@pytest.mark.slow
@pytest.mark.parametrize("runs", [DDP, pytest.param(ZERO3, marks=NEEDS_DEEPSPEED)], ids=" ".join)
def test_ranks_may_log_and_fail_apart(launched, runs):
    result, folder = launched(*runs)
    out = folder / "out" / "train"
    assert (out / "facts.json").is_file(), result.stdout[-2000:] + result.stderr[-6000:]
    assert (result.returncode == 0) == ("RewardError: Reward `failing`" not in result.stderr), result.stderr[-6000:]
    facts = json.loads((out / "facts.json").read_text())
    entry = next(entry for entry in facts["history"] if "reward" in entry)
    assert facts["processes"] == 2
    assert entry["own/rows"] == 4.0
    assert entry["rewards/uneven/none_share"] == 0.5
    assert entry["rewards/uneven/raw_mean"] == 2.5
    assert entry["rewards/uneven/mean"] == 2.25  # 1, 2, 3, and 4 cut off at 3
    assert entry["rewards/unruly/invalid_share"] == 0.25  # one NaN and one timeout, on the second rank
    assert entry["audit/unruly/mean"] == pytest.approx((1 + 2 + 3 + 4 + 2) / 5)
    assert entry["rewards/second_thoughts/flaky_share"] == 0.5  # four rows of each rank are scored again
    assert entry["rewards/second_thoughts/repeat_difference"] == 0.5
    assert entry["rewards/second_thoughts/noise_variance"] == 0.25
    assert entry["rewards/unruly/flaky_share"] == 0.0
    rows = pd.read_parquet(out / "completions" / "completions_00001.parquet")
    assert list(rows["seen"].dropna()) == ["a", "bb", "ccc", "dddd"]
    assert rows["seen"].isna().tolist() == [False] * 4 + [True] * 4
    assert rows["audit/unruly"].isna().sum() == 3
    lines = [json.loads(line) for line in (out / "rewards.jsonl").read_text().splitlines()]
    assert [(line["step"], line["reward"]) for line in lines] == [
        (step, name) for step in (1, 2) for name in ("uneven", "judged", "unruly", "second_thoughts")
    ]
    assert lines[2]["invalid"] == {"not finite": 1, "timeout": 1}
    here = RewardModel.load(folder / "rm", device="cpu").score(["q0?"], ["a"])
    assert facts["score"] == pytest.approx(here.tolist(), abs=1e-5)


@pytest.mark.slow
def test_a_reward_that_fails_on_one_rank_ends_both(launched):
    result, _ = launched(*DDP)
    assert result.returncode != 0
    assert (
        result.stderr.count("RewardError: Reward `failing`: 4 of 8 values of this step are invalid (4 x error)") == 2
    )
    assert "ZeroDivisionError" in result.stderr
