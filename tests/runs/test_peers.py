"""Real processes that share a real store, as `accelerate launch` makes them."""

import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from started import ROOT
from torch.distributed import TCPStore

from align.runs.peers import StorePeers

SCRIPT = Path(__file__).with_name("peer_process.py")


slow = pytest.mark.slow


class Launched:
    """Two processes and the store of their launcher."""

    def __init__(self):
        self.store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        self.processes = []

    def start(self, *whats, through=()):
        for rank, what in enumerate(whats):
            variables = {
                "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": len(whats), "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": self.store.port, "TORCHELASTIC_USE_AGENT_STORE": "True", "PYTHONPATH": ROOT,
            }  # fmt: skip
            if what.startswith("elsewhere"):
                variables["LOCAL_RANK"] = 0
            self.processes.append(
                subprocess.Popen(
                    [*through, sys.executable, str(SCRIPT), what],
                    env=os.environ | {name: str(value) for name, value in variables.items()},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        return [process.stdout.readline() for process in self.processes]

    def end(self, rank):
        """Waits for a process, and returns its exit code, its words and the seconds that it took."""
        began = time.monotonic()
        _, error = self.processes[rank].communicate(timeout=120)
        return self.processes[rank].returncode, error, time.monotonic() - began


@pytest.fixture
def launched():
    found = Launched()
    yield found
    for process in found.processes:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_large_values_arrive_whole_and_are_taken_back():
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    value = [{"text": "é" * (2 << 20)}, math.inf]  # 12 MiB as JSON; the store takes 8 at once

    def tell(rank):
        own = TCPStore("127.0.0.1", store.port, is_master=False, wait_for_workers=False)
        peers = StorePeers(own, rank, 2)
        before = peers.gather("small", rank)
        heard = peers.gather("large", [rank, *value] if rank else [])
        peers.gather("all have read", None)
        peers.forget("large")
        return before, heard

    with ThreadPoolExecutor(2) as pool:
        (before, heard), other = pool.map(tell, range(2))
    assert before == other[0] == [0, 1]
    assert heard == other[1] == [[], [1, *value]]
    held = ("hello", "small", "all have read")
    assert all(store.delete_key(f"{name}/{rank}") for name in held for rank in range(2))
    assert store.num_keys() == TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False).num_keys()


@slow
def test_all_hear_what_all_say_and_what_the_main_process_decides(launched):
    lines = launched.start("leaves", "elsewhere leaves")
    assert [line.split(maxsplit=1)[1] for line in lines] == ["['leaves', 'elsewhere leaves'] of 0\n"] * 2
    assert [launched.end(rank)[:2] for rank in range(2)] == [(0, "")] * 2


@slow
def test_a_process_that_has_left_is_not_missed(launched):
    launched.start("later leaves", "lingers")
    assert [launched.end(rank)[:2] for rank in range(2)] == [(0, "")] * 2


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("refuses", "ended the run: The folder is not there."),
        ("breaks", "ended the run: 'a' (KeyError in runs/peer_process.py, line 24)"),
    ],
)
@slow
def test_what_ends_one_host_ends_the_others_with_its_sentence(launched, how, words):
    launched.start("waits", f"elsewhere {how}")
    code, said, seconds = launched.end(0)
    assert (code, said) == (1, f"Error: Process 1 on other-host {words}\n")
    assert seconds < 40  # it would wait a minute


@slow
def test_a_process_that_is_killed_ends_the_others(launched):
    launched.start("waits", "waits")
    launched.processes[1].send_signal(signal.SIGKILL)
    code, said, _ = launched.end(0)
    assert code == 1
    assert said.startswith("Error: Process 1 on ")
    assert said.endswith(" is gone, so the run ends.\n")


@slow
def test_a_host_that_falls_silent_ends_the_others(launched):
    launched.start("waits", "elsewhere waits")
    launched.processes[1].send_signal(signal.SIGSTOP)
    code, said, seconds = launched.end(0)
    assert code == 1
    assert said.startswith("Error: Process 1 on other-host has said nothing for 4 s, so the run ends")
    assert seconds < 50
    launched.processes[1].send_signal(signal.SIGCONT)  # it hears that the others have gone
    assert launched.end(1)[0] == 1


@slow
def test_a_launcher_that_cannot_be_reached_ends_its_processes(launched):
    launched.start("waits", "elsewhere waits")
    launched.store = None  # its server stops
    for rank in range(2):  # also the main process, which is alone on its host
        code, said, _ = launched.end(rank)
        assert code == 1
        assert "Error: The launcher on " in said
        assert "(127.0.0.1) cannot be reached" in said


def test_a_process_whose_launcher_was_killed_ends(tmp_path):
    script = tmp_path / "accelerate"  # what `accelerate launch` does with one process
    script.write_text(
        f"import subprocess, sys\nsubprocess.run([sys.executable, {str(SCRIPT)!r}, 'waits'], check=True)\n"
    )
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    launcher = subprocess.Popen(
        [sys.executable, str(script)], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    launcher.stdout.readline()
    (child,) = psutil.Process(launcher.pid).children()
    launcher.kill()
    assert launcher.communicate(timeout=120)[1].endswith("is gone, so its processes end, too.\n")
    psutil.wait_procs([child], timeout=50)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
