"""Trains for a long time with a reward that leaks, hangs and dies, and looks whether anything grows.

    python -m scripts.checks.soak --minutes 60

The quickstart's loop with `reward_workers: 4`. Of the calls of the reward 1 % never return, 1 % end their process, and
each keeps a megabyte for ever. Sampled from outside every few seconds: memory and open files of the training process,
memory of all its children, their number, and the temporary files. Compared are the medians of the second and the last
fifth of the time (the first is for warming up). Exits with 1 if one grew beyond its bar.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from scripts.harness import Options

REWARD = """
import os, random, time

KEPT = []


def unruly(completions, **kwargs):
    KEPT.append(bytearray(1_000_000))
    draw = random.random()
    if draw < 0.01:
        time.sleep(10_000)
    if draw < 0.02:
        os._exit(3)
    return [float(len(set(each))) for each in completions]
"""
# Largest growth from the second fifth to the last: the share, and what is allowed in any case.
BARS = {
    "memory (MB)": (0.05, 20.0),
    "memory of children (MB)": (0.25, 100.0),
    "children": (0.0, 1.0),
    "open files": (0.0, 4.0),
    "temporary files": (0.0, 2.0),
}


def sample(process: psutil.Process, temporary: Path) -> dict[str, float]:
    """Measures a process, its children and its temporary files."""
    children = [child for child in process.children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
    memory = 0
    for child in children:
        try:
            memory += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it ended in between
    return {
        "memory (MB)": process.memory_info().rss / 1e6,
        "memory of children (MB)": memory / 1e6,
        "children": len(children),
        "open files": process.num_fds(),
        "temporary files": sum(1 for _ in temporary.rglob("*")),
    }


def main() -> None:
    """Trains, samples, and compares."""
    parser = Options(__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        folder, temporary = Path(place), Path(place) / "tmp"
        temporary.mkdir()
        (folder / "unruly.py").write_text(REWARD)
        words = ["--reward_funcs", f"[answer_consistency, {folder / 'unruly.py'}:unruly]", "--max_steps", "1000000"]
        words += ["--reward_workers", "4", "--reward_timeout", "1", "--per_device_train_batch_size", "16"]
        words += ["--save_strategy", "steps", "--save_steps", "500", "--save_total_limit", "1"]
        words += ["--output_dir", str(folder / "run"), "--log_completions", "false", "--reward_memory_gb", "1"]
        environment = os.environ | {"TMPDIR": str(temporary), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        with (folder / "log").open("w") as log:
            command = [sys.executable, "-m", "align", "train", "acre/quickstart", *words]
            run = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            process, samples, began = psutil.Process(run.pid), [], time.monotonic()
            while time.monotonic() - began < 60 * arguments.minutes:
                if run.poll() is not None:
                    sys.exit(f"The run ended after {len(samples)} samples:\n{(folder / 'log').read_text()[-3000:]}")
                samples.append(sample(process, temporary))
                time.sleep(2)
            run.send_signal(signal.SIGTERM)
            run.wait(120)
        lines = (folder / "run" / "rewards.jsonl").read_text().splitlines()
        left = len(
            [child for child in psutil.process_iter(["cmdline"]) if place in " ".join(child.info["cmdline"] or [])]
        )
    fifth = len(samples) // 5
    table = Table(box=None, pad_edge=False)
    for column in ("", "second fifth", "last fifth", "allowed", ""):
        table.add_column(column, justify="left" if column == "" else "right")
    grew = left
    for name, (share, at_least) in BARS.items():
        early, late = (
            statistics.median(each[name] for each in part) for part in (samples[fifth : 2 * fifth], samples[-fifth:])
        )
        allowed = early + max(share * early, at_least)
        grew += late > allowed
        table.add_row(name, f"{early:,.0f}", f"{late:,.0f}", f"{allowed:,.0f}", "" if late <= allowed else "grew")
    Console(width=100).print(table)
    print(
        f"{arguments.minutes:g} minutes, {len(lines)} lines of rewards, exit code {run.returncode}, {left} left over."
    )
    sys.exit(1 if grew else 0)


if __name__ == "__main__":
    main()
