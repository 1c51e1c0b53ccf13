import os
import signal
import subprocess
import sys
import time

import pytest
from divided_evaluations import commands_of, counts_in, results_in, run, save_models, write_data
from started import ROOT, launch, num_kept

pytestmark = pytest.mark.slow  # each starts processes


@pytest.fixture(scope="module")
def models(answering_model_folder, tiny_model_folder, tmp_path_factory):
    return save_models(tmp_path_factory.mktemp("models"), answering_model_folder, tiny_model_folder)


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path)


@pytest.fixture
def commands(models, data):
    return commands_of(models, data)


def launched(*words):
    return launch("ddp_cpu.yaml", "-m", "align", "eval", *words)


def test_a_launch_is_the_evaluation_of_one_process(commands, data, tmp_path):
    assert run(*commands["samples"], "--out", tmp_path / "one") == 0
    (data / "calls").unlink()
    result = launched(*commands["samples"], "--out", tmp_path / "two")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("All numbers are in") == 1
    assert result.stderr.count("Asking ") == 2
    assert (data / "calls").read_text() == "2"  # once for each model
    assert results_in(tmp_path / "two") == results_in(tmp_path / "one")
    assert counts_in(tmp_path / "two") == [0, 0]


@pytest.mark.nightly
@pytest.mark.parametrize("task", ["questions", "pairs", "rows of a suite", "reward models"])
def test_a_launch_of_every_task_is_the_evaluation_of_one_process(task, commands, tmp_path):
    assert run(*commands[task], "--out", tmp_path / "one") == 0
    result = launched(*commands[task], "--out", tmp_path / "two")
    assert result.returncode == 0, result.stderr
    assert results_in(tmp_path / "two") == results_in(tmp_path / "one")


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--backend", "vllm"], "`--backend vllm` runs in one process"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_a_launch_that_cannot_be_is_one_sentence(words, sentence, commands, tmp_path):
    result = launched(*commands["prompts"], *words, "--out", tmp_path / "two")
    assert result.returncode == 1
    assert [sentence in line for line in result.stderr.splitlines() if line.startswith("Error: ")] == [True]


@pytest.mark.nightly
def test_a_launch_that_is_killed_goes_on(commands, tmp_path):
    command = [*commands["questions"], "--batch_size", 1, "--max_new_tokens", 200]
    out = tmp_path / "two"
    words = ["--config_file", ROOT / "ds_configs" / "ddp_cpu.yaml", "-m", "align", "eval", *command, "--out", out]
    process = subprocess.Popen(
        [sys.executable, "-m", "accelerate.commands.launch", *map(str, words)], cwd=ROOT, start_new_session=True
    )
    deadline = time.monotonic() + 600
    while num_kept(out / "cache") < 1:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = num_kept(out / "cache")
    assert 1 <= kept < 40
    result = launched(*command, "--out", out)
    assert result.returncode == 0, result.stderr
    assert counts_in(out)[0] >= kept
    assert run(*command, "--out", tmp_path / "one") == 0
    assert results_in(out) == results_in(tmp_path / "one")
