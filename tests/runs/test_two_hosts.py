"""Two hosts, each with a network and a name of its own, against one host with two processes."""

import os
import shutil
import signal
import time
from functools import cache
from importlib.util import find_spec

import pytest
from some_recipes import PAIRS
from started import launch
from two_hosts import two_hosts, why_not

REASON = why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=str(REASON))]
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra `deepspeed`")
CONFIGS = {
    "ddp_cpu": (pytest.mark.nightly,),  # by day small processes lose a host, and a launch goes on
    "zero2_cpu": (NEEDS_DEEPSPEED, pytest.mark.nightly),
    "zero3_cpu": (NEEDS_DEEPSPEED, pytest.mark.nightly),
}
SHORT = ["-m", "align", "train", f"{PAIRS}/quickstart", "--use_cpu", "true", "--max_steps", "4", "--save_steps", "2"]
SHORT += ["--save_strategy", "steps", "--eval_strategy", "no", "--per_device_train_batch_size", "8"]
SECONDS = 120  # within which a host hears that the other one is gone


def wait_for(path, process, seconds=600):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()[0][-3000:]
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.02)


def ended(process, seconds=600):
    said, _ = process.communicate(timeout=seconds)
    return process.returncode, said


@pytest.fixture(scope="module")
def on_one_host(tmp_path_factory):
    """Trains on one host when first asked; returns the run."""

    @cache
    def train(config):
        out = tmp_path_factory.mktemp(config) / "run"
        result = launch(f"{config}.yaml", *SHORT, "--output_dir", out)
        assert result.returncode == 0, result.stderr[-3000:]
        return out

    return train


@pytest.mark.parametrize("config", [pytest.param(config, marks=marks) for config, marks in CONFIGS.items()])
def test_two_hosts_train_like_one_and_go_on_after_one_of_them_died(on_one_host, config, tmp_path):
    one, out = on_one_host(config), tmp_path / "two"
    with two_hosts() as hosts:
        first, second = (
            hosts.launch(host, f"{config}.yaml", *SHORT, "--max_steps", "400", "--output_dir", out) for host in (0, 1)
        )
        wait_for(out / "checkpoint-2" / "manifest.json", first)
        killed = time.monotonic()
        os.killpg(second.pid, signal.SIGKILL)
        code, said = ended(first, SECONDS)
        assert code == 1
        assert "Error: Process 1 on host-1 has said nothing for 40 s, so the run ends" in said
        assert time.monotonic() - killed < SECONDS
    for later in out.glob("checkpoint-*"):
        if later.name != "checkpoint-2":
            later.rename(out / f"later-{later.name}")
    with two_hosts() as hosts:
        words = [*SHORT, "--output_dir", out, "--resume", "auto"]
        both = [hosts.launch(host, f"{config}.yaml", *words) for host in (0, 1)]
        results = [ended(process) for process in both]
    assert [code for code, _ in results] == [0, 0], results[0][1][-3000:] + results[1][1][-3000:]
    assert (out / "model.safetensors").read_bytes() == (one / "model.safetensors").read_bytes()


@pytest.mark.nightly
def test_a_host_without_the_checkpoint_is_named_and_both_end(on_one_host, tmp_path):
    shutil.copytree(on_one_host("ddp_cpu"), tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoint-4")
    (tmp_path / "run" / "finished.json").unlink()
    (tmp_path / "elsewhere").mkdir()
    with two_hosts() as hosts:
        words = [*SHORT, "--output_dir", "run", "--resume", "auto"]
        both = [
            hosts.launch(host, "ddp_cpu.yaml", *words, cwd=folder)
            for host, folder in enumerate((tmp_path, tmp_path / "elsewhere"))
        ]
        results = [ended(process, SECONDS + 60) for process in both]
    sentence = "Not every host can read the checkpoint (host-1: run/checkpoint-2: it is not there)"
    assert [code for code, _ in results] == [1, 1]
    assert f"Error: {sentence}" in results[0][1]
    assert f"Error: Process 0 on host-0 ended the run: {sentence}" in results[1][1]
    assert not any((tmp_path / "elsewhere" / "run").glob("[!.]*"))


@pytest.mark.nightly  # a host that was killed falls silent, too
def test_a_cut_cable_ends_both_hosts(tmp_path):
    out = tmp_path / "run"
    with two_hosts() as hosts:
        words = [*SHORT, "--max_steps", "4000", "--output_dir", out]
        both = [hosts.launch(host, "ddp_cpu.yaml", *words) for host in (0, 1)]
        wait_for(out / "checkpoint-2" / "manifest.json", both[0])
        hosts.cut()
        cut = time.monotonic()
        results = [ended(process, SECONDS + 30) for process in both]
        assert time.monotonic() - cut < SECONDS + 10
    assert [code for code, _ in results] == [1, 1]
    assert "Error: Process 1 on host-1 has said nothing for 40 s" in results[0][1]
    assert "Error: The launcher on host-0 (10.77.0.1) cannot be reached" in results[1][1]
