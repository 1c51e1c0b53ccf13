"""With every launch file for CPUs, a run that goes on between two logs ends like the one that was never stopped.

The same launches train with rewards that log, and fail, on one rank only, and meet NaN on one rank only: imports are
the costly part.
"""

import json
import shutil
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import fsdp_on_cpus
import guarded_run
import pandas as pd
import pytest
import spoiled_run
from some_recipes import PAIRS, QUESTIONS, REWARD_PAIRS
from started import WITHOUT_VLLM, launch, metrics_of
from two_processes_run import EVALUATED, WORDS

from align.models.reward_model import RewardModel

pytestmark = pytest.mark.slow
RUN = Path(__file__).with_name("two_processes_run.py")
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra `deepspeed`")
FULL, LORA, SYNCED = (f"{PAIRS}/quickstart:{variant}" for variant in ("full", "lora", "synced"))
GUARDED, FAILING = "guarded:train", "guarded:fail"
SPOILED = tuple(f"spoiled:{what}" for what in ("loss", "first", "second", "model"))
DDP = ("ddp_cpu", (FULL, f"{QUESTIONS}/quickstart:full", GUARDED, FAILING, *SPOILED))
ZERO3 = ("zero3_cpu", (FULL, SYNCED, GUARDED, *SPOILED))
FSDP2 = ("fsdp2", (FULL, LORA, SYNCED, f"{QUESTIONS}/quickstart:full", *SPOILED))
MORE = (SYNCED, f"{PAIRS}/quickstart:streamed", f"{REWARD_PAIRS}/quickstart:lora")
LAUNCHES = [
    pytest.param(*DDP, id="ddp_cpu"),
    pytest.param("ddp_cpu", MORE, marks=pytest.mark.nightly, id="ddp_cpu-more"),
    pytest.param("zero2_cpu", (FULL, LORA), marks=(NEEDS_DEEPSPEED, pytest.mark.nightly), id="zero2_cpu"),
    pytest.param(*ZERO3, marks=NEEDS_DEEPSPEED, id="zero3_cpu"),
    pytest.param("zero3_cpu", (LORA,), marks=(NEEDS_DEEPSPEED, pytest.mark.nightly), id="zero3_cpu-lora"),
    pytest.param(*FSDP2, marks=pytest.mark.nightly, id="fsdp2"),
]
TIMES = ("time", "seconds", "second_pass_share", "runtime", "per_second")


def without_times(line):
    return {name: value for name, value in line.items() if not any(word in name for word in TIMES)}


def evaluated(folder):
    """Reads what evaluation logged; the later line of a step counts."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: without_times(line) for line in lines if "eval_loss" in line}


def mean_loss(folder):
    """Reads the mean loss of all steps, which the last line has."""
    *_, last = (folder / "metrics.jsonl").read_text().splitlines()
    return json.loads(last)["train_loss"]


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """Trains cases in two processes when first asked, each twice; returns the folder of the runs."""

    @cache
    def train(config, cases):
        folder = tmp_path_factory.mktemp(config)
        guarded_run.save_models(folder)
        spoiled_run.save_model(folder)
        result = launch(f"{config}.yaml", *fsdp_on_cpus.WORDS.get(config, ()), WITHOUT_VLLM, RUN, folder, *cases)
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
        return folder

    return train


def runs_of(folder, case):
    name = case.replace("/", "-").replace(":", "-")
    return folder / f"{name}-whole", folder / f"{name}-resumed"


@pytest.mark.parametrize(("config", "cases"), LAUNCHES)
def test_a_launch_that_goes_on_ends_like_the_uninterrupted_one(launched, config, cases):
    folder = launched(config, cases)
    for case in cases:
        if case.startswith(("guarded", "spoiled")):
            continue
        whole, resumed = runs_of(folder, case)
        (weights,) = (path.name for path in whole.glob("*.safetensors"))
        assert (resumed / weights).read_bytes() == (whole / weights).read_bytes(), case
        assert evaluated(resumed) == evaluated(whole), case
        assert bool(evaluated(whole)) == case.startswith(PAIRS)
        expected, found = metrics_of(whole), metrics_of(resumed)
        assert sorted(found) == [3]
        assert mean_loss(resumed) == mean_loss(whole), case
        assert {step: without_times(line) for step, line in found.items()} == {
            step: without_times(line) for step, line in expected.items()
        }, case
        assert (resumed / "finished.json").read_text() == (whole / "finished.json").read_text()


@pytest.mark.nightly  # as in one process, which another test shows, and by one process as in any launch
def test_an_end_is_written_by_one_process(launched, tmp_path):
    whole, _ = runs_of(launched(*DDP), FULL)
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "finished.json").unlink()
    words = ["-m", "align", "train", f"{PAIRS}/quickstart", *WORDS, *EVALUATED, "--output_dir", tmp_path / "run"]
    result = launch("ddp_cpu.yaml", *words, "--resume", "auto")
    assert result.returncode == 0, result.stderr[-3000:]
    assert "All steps of" in result.stderr
    assert result.stdout.count("Model and logs are in") == 1


@pytest.mark.parametrize("case", [DDP, pytest.param(ZERO3, marks=NEEDS_DEEPSPEED)], ids=["ddp_cpu", "zero3_cpu"])
def test_ranks_may_log_and_have_no_opinion_apart(launched, case):
    folder = launched(*case)
    out = folder / "train"
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


def test_a_reward_that_fails_on_one_rank_ends_training_on_both(launched):
    out = launched(*DDP) / "fail"
    said = [(out / f"error-{rank}.txt").read_text() for rank in range(2)]
    sentence = "RewardError: Reward `failing`: 4 of 8 values of this step are invalid (4 x error)"
    assert all(sentence in each for each in said)
    assert "ZeroDivisionError" in "".join(said)
    assert not (out / "facts.json").exists()


@pytest.mark.parametrize(
    "launch_of",
    [DDP, pytest.param(ZERO3, marks=NEEDS_DEEPSPEED), pytest.param(FSDP2, marks=pytest.mark.nightly)],
    ids=["ddp_cpu", "zero3_cpu", "fsdp2"],
)
def test_what_is_no_number_on_one_rank_ends_training_on_both(launched, launch_of):
    folder, is_sharded = launched(*launch_of), launch_of[0] != "ddp_cpu"

    def said(what):
        first, second = ((folder / f"spoiled-{what}" / f"said-{rank}.txt").read_text() for rank in range(2))
        assert first == second
        return first, sorted(each.name for each in (folder / f"spoiled-{what}").glob("checkpoint-*"))

    for what, words in (("loss", "the loss is"), ("first", "weights became"), ("second", "weights became")):
        if what == "second" and is_sharded:  # there it is no part of the weight
            assert said(what) == ("", [f"checkpoint-{step}" for step in range(1, 6)])
            continue
        text, kept = said(what)
        assert text.startswith(f"Step 3: {words} NaN or infinite, so training ends here. The last good checkpoint is ")
        assert f"{folder / f'spoiled-{what}' / 'checkpoint-2'}: `--resume auto` tries once more" in text
        assert kept == ["checkpoint-1", "checkpoint-2"]
    assert said("model")[0].startswith(f"The model {folder / 'nan'} cannot be used: 1 of its 21 weights hold NaN")
