import json
import signal
import subprocess
import sys
import time
from contextlib import closing

import pytest
from divided_evaluations import ask_shards, commands_of, counts_in, results_in, run, save_models, write_data
from started import ROOT, launch

from align.models.answer_cache import AnswerCache

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
def test_a_launch_merges_shards(commands, tmp_path):
    assert run(*commands["questions"], "--out", tmp_path / "one") == 0
    folders = ask_shards(commands["questions"], tmp_path)
    result = launched("--merge", *folders, "--out", tmp_path / "merged")
    assert result.returncode == 0, result.stderr
    assert results_in(tmp_path / "merged") == results_in(tmp_path / "one")
    result = launched("--merge", folders[0], "--out", tmp_path / "merged")
    assert result.returncode == 1
    assert result.stderr.count("Shard 2/2 is missing") == 1


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--shard", "1/2"], "`accelerate launch` started 2, which divide the evaluation by themselves."),
        (["--backend", "vllm"], "`--backend vllm` runs in one process"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_a_launch_that_cannot_be_is_one_sentence(words, sentence, commands, tmp_path):
    result = launched(*commands["prompts"], *words, "--out", tmp_path / "two")
    assert result.returncode == 1
    assert [sentence in line for line in result.stderr.splitlines() if line.startswith("Error: ")] == [True]


@pytest.mark.nightly
def test_a_killed_shard_goes_on(commands, data, tmp_path):
    command = [*commands["questions"], "--batch_size", 1, "--max_new_tokens", 200]
    out = tmp_path / "shard"
    words = ["-m", "align", "eval", *map(str, [*command, "--shard", "1/2", "--out", out])]
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 600
    while not 1 <= answers_in(out) < 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert answers_in(out) < 5
    assert not json.loads((out / "shard.json").read_text())["finished"]
    assert run(*command, "--shard", "1/2", "--out", out) == 0
    assert answers_in(out) == 5
    assert run(*command, "--shard", "2/2", "--out", tmp_path / "other") == 0
    assert run("--merge", out, tmp_path / "other", "--out", tmp_path / "merged") == 0
    assert run(*command, "--out", tmp_path / "one") == 0
    assert results_in(tmp_path / "merged") == results_in(tmp_path / "one")


def answers_in(folder):
    """Counts the answers that a shard has kept."""
    if not (folder / "cache" / "cache.db").exists():
        return 0
    with closing(AnswerCache(folder / "cache")) as cache:
        return len(list(cache._cache))
