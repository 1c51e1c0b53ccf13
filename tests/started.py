"""Commands started in a fresh interpreter, as a user starts them."""

import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_VLLM = ROOT / "tests" / "without_vllm_run.py"  # before the script that is started


def start(
    *words: str, cwd: Path = ROOT, timeout: float | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs `python WORDS` to its end, with wide output."""
    environment = os.environ | {"COLUMNS": "200", "OMP_NUM_THREADS": "1"} | variables
    command = [sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=timeout)


def align(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs an `align` command to its end."""
    return start("-m", "align", *map(str, words), cwd=cwd)


def launch(config: str, *words: object, timeout: float = 1200, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs a script, or `-m MODULE`, in the processes of a file of `ds_configs/`; each launch has its own port."""
    # The console script does the same, and imports transformers for the other commands of accelerate.
    launcher = ("-m", "accelerate.commands.launch", "--config_file", ROOT / "ds_configs" / config)
    return with_tests(*launcher, *words, timeout=timeout, cwd=cwd)


def with_tests(*words: object, timeout: float = 1200, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs `python WORDS`, which can import what lies in `tests/`."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    return start(*map(str, words), timeout=timeout, cwd=cwd, PYTHONPATH=path)


def modules_after(code: str) -> set[str]:
    """Lists the top-level modules that are loaded after some code ran."""
    result = start("-c", f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})")
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split())


def least_seconds(command: str, enough: float, times: int = 8) -> float:
    """Returns the CPU time of a command above that of a bare interpreter: the first below `enough`, or the least.

    CPU time does not grow on a busy machine, but for a little: hence a few times.
    """

    def measure(words: list[str]) -> float:
        before = os.times()
        subprocess.run([sys.executable, *words], capture_output=True, check=True, cwd=ROOT)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    idle, least = measure(["-c", "0"]), float("inf")
    for _ in range(times):
        least = min(least, measure(shlex.split(command)) - idle)
        if least < enough:
            break
    return least


def metrics_of(folder):
    """Reads the training steps of a run folder; the later line of a step counts."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if "loss" in line}


def num_kept(folder):
    """Counts the answers in the cache of a process that may be writing to it; none as long as there is no cache."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'cache.db'}?mode=ro", uri=True)) as kept:
            return kept.execute("SELECT COUNT(*) FROM Cache").fetchone()[0]
    except sqlite3.Error:
        return 0


def train_and_kill(recipe, folder, step=2, seconds=600, until=None):
    """Trains until a checkpoint is there, and a file if named, kills the process; returns the last step saved."""
    command = [sys.executable, "-m", "align", "train", str(recipe)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # as in `align`: other threads, another order of sums
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + seconds
    awaited = [folder / f"checkpoint-{step}" / "manifest.json", *filter(None, [until])]
    while not all(path.exists() for path in awaited):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no {awaited} yet"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return max(int(saved.parent.name.rpartition("-")[2]) for saved in folder.glob("checkpoint-*/manifest.json"))
