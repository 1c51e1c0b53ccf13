"""With every launch file for CPUs, a run that goes on ends like the one that was never stopped."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from some_recipes import PAIRS, QUESTIONS, REWARD_PAIRS
from started import launch, metrics_of

pytestmark = pytest.mark.slow
RUN = Path(__file__).with_name("resumed_run.py")
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra `deepspeed`")
BOTH = (f"{PAIRS}/quickstart:full", f"{PAIRS}/quickstart:lora")
CASES = {
    "ddp_cpu": (f"{PAIRS}/quickstart:full", f"{REWARD_PAIRS}/quickstart:lora", f"{QUESTIONS}/quickstart:full"),
    "zero2_cpu": BOTH,
    "zero3_cpu": BOTH,
}
MARKS = {"ddp_cpu": (), "zero2_cpu": (NEEDS_DEEPSPEED, pytest.mark.nightly), "zero3_cpu": (NEEDS_DEEPSPEED,)}
SHORT = ["--use_cpu", "true", "--eval_strategy", "no", "--per_device_train_batch_size", "8", "--max_steps", "2"]
TIMES = ("time", "seconds", "second_pass_share", "runtime", "per_second")


def without_times(line):
    return {name: value for name, value in line.items() if not any(word in name for word in TIMES)}


def evaluated(folder):
    """Reads what evaluation logged; the later line of a step counts."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: without_times(line) for line in lines if "eval_loss" in line}


@pytest.mark.parametrize("config", [pytest.param(config, marks=MARKS[config]) for config in CASES])
def test_a_launch_that_goes_on_ends_like_the_uninterrupted_one(config, tmp_path):
    result = launch(f"{config}.yaml", RUN, tmp_path, *CASES[config])
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    for case in CASES[config]:
        name = case.replace("/", "-").replace(":", "-")
        whole, resumed = tmp_path / f"{name}-whole", tmp_path / f"{name}-resumed"
        (weights,) = (path.name for path in whole.glob("*.safetensors"))
        assert (resumed / weights).read_bytes() == (whole / weights).read_bytes(), case
        assert evaluated(resumed) == evaluated(whole), case
        assert bool(evaluated(whole)) == case.startswith(PAIRS)
        expected, found = metrics_of(whole), metrics_of(resumed)
        assert sorted(found) == [1, 2, 3, 4]
        assert {step: without_times(line) for step, line in found.items()} == {
            step: without_times(line) for step, line in expected.items()
        }, case
        assert (resumed / "finished.json").read_text() == (whole / "finished.json").read_text()


def test_an_end_is_written_by_one_process(tmp_path):
    words = ["-m", "align", "train", f"{PAIRS}/quickstart", *SHORT, "--save_steps", "2", "--save_strategy", "steps"]
    words += ["--output_dir", tmp_path]
    assert launch("ddp_cpu.yaml", *words).returncode == 0
    (tmp_path / "finished.json").unlink()
    result = launch("ddp_cpu.yaml", *words, "--resume", "auto")
    assert result.returncode == 0, result.stderr[-3000:]
    assert "All steps of" in result.stderr
    assert result.stdout.count("Model and logs are in") == 1
