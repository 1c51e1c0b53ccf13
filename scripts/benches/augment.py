"""Throughput of `align augment --method crome`, and what is left of a run whose oracle fails and that is killed.

    python -m scripts.benches.augment --rounds 5 --check_bars --json bench_augment.json

Throughput: a local server (`oracle_server.py`, a process of its own) answers each call after 100 ms. With 32 calls at
once, the ideal rate is 320 calls a second; reported is the share of it that a whole run reaches, from its first call
to its last row, as the median over rounds. Starting Python and the plan before the first call are not counted.

Faults: the first call of a part of the prompts goes wrong, in each of the ways that `oracle_server.py` lists in turn:
by a status, a body that is no answer, 20 MB, a lost connection, an answer that comes late or never, a key that is
refused for a while, a reply without content, cut off or not what was asked for. On the way the server stops answering
and the run is killed (SIGKILL) and started again, several times. Its rows are compared with those of a run without
faults. Calls that were on their way when the process died were never answered: had they been, they would have to be
paid for again. So would answers of 20 MB, without content or lost on the way, which are not counted as paid.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from align.methods.crome.augmentation.family import CromeSettings, load_originals
from align.methods.crome.augmentation.pairs import augment_with_model
from align.models.samplers.asking import SampledAnswers
from align.models.samplers.endpoint import EndpointSampler
from scripts.harness import Options, write_numbers

HERE = Path(__file__).resolve().parent
CALLS_PER_PAIR = 26  # a rubric, 5 lists of elements, 10 edits, 10 verifications
LEAST_SHARE = 0.80
TIMEOUT, LATENESS = 11, 2  # seconds: what is silent is asked again, and what is late is waited for
os.environ.setdefault("HF_HUB_OFFLINE", "1")


class Server:
    """A running `oracle_server.py`.

    Args:
        process: Its process.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{int(self._read())}/v1"

    def counts(self, words: str = "") -> dict[str, Any]:
        """Returns what the server did so far."""
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        counts: dict[str, Any] = json.loads(self._read())
        return counts

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def start_server(**settings: float) -> Iterator[Server]:
    """Starts a server in a process of its own."""
    command = [sys.executable, str(HERE / "oracle_server.py"), json.dumps(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


def write_pairs(folder: Path, count: int) -> Path:
    """Writes preference pairs of an ordinary length."""
    words = "This sentence stands for what people write when they answer a question at some length. "
    rows = [
        {
            "id": f"pair-{i}",
            "prompt": f"Question {i}: how does it work, and why?",
            "chosen": f"Answer {i}. {words * 6}",
            "rejected": f"Other answer {i}. {words * 5}",
        }
        for i in range(count)
    ]
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


class Round(NamedTuple):
    """What one run of the pipeline took."""

    share: float  # of the ideal rate
    cpu_ms: float  # of this process per call
    load: float  # mean number of running processes in the last minute, the machine's


def measure_round(arguments: argparse.Namespace) -> Round:
    """Runs the pipeline once."""
    with tempfile.TemporaryDirectory() as name, start_server(delay=arguments.delay) as server:
        folder = Path(name)
        originals, _ = load_originals(str(write_pairs(folder, arguments.pairs)))
        sampler = EndpointSampler(server.url, "tiny", concurrency=arguments.concurrency)
        with SampledAnswers(folder / "cache") as cache:
            start, cpu = time.perf_counter(), time.process_time()
            augment_with_model(originals, sampler, cache, CromeSettings(), arguments.concurrency)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        calls = server.counts()["calls"]
    assert calls == CALLS_PER_PAIR * arguments.pairs
    share = calls / seconds / (arguments.concurrency / arguments.delay)
    return Round(share, 1000 * cpu / calls, os.getloadavg()[0])


def run_command(data: Path, out: Path, url: str, concurrency: int) -> subprocess.Popen[str]:
    """Starts the command line."""
    words = ["augment", data, "--method", "crome", "--out", out, "--model", "tiny", "--endpoint", url]
    command = [sys.executable, "-m", "align", *words, "--concurrency", concurrency, "--timeout", TIMEOUT]
    return subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """Waits for a run that must succeed, and returns what it printed."""
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"The run failed:\n{output}")
    return output


def kill_midway(process: subprocess.Popen[str], server: Server, answers: int) -> dict[str, Any]:
    """Kills a run after some answers, when no other is on its way, and returns the server's counts."""
    while True:
        if process.poll() is not None:
            raise SystemExit("The run ended before it could be killed.")
        counts = server.counts()
        if counts["paid"] >= answers and not counts["busy"]:
            break
        time.sleep(0.1)
    time.sleep(1)  # for what was answered last to be kept
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return counts


def inject_faults(arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs with faults and kills, and without, and compares."""
    total = CALLS_PER_PAIR * arguments.fault_pairs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_pairs(folder, arguments.fault_pairs)
        with start_server(delay=0.01) as server:
            finish(run_command(data, folder / "clean", server.url, arguments.concurrency))
        settings = {"fault_rate": arguments.fault_rate, "lateness": LATENESS}
        with start_server(delay=0.01, **settings) as server:
            for kill in range(arguments.kills):
                answers = total * (kill + 1) // (arguments.kills + 1)
                server.counts(f"stop after {answers}")
                kill_midway(run_command(data, folder / "faults", server.url, arguments.concurrency), server, answers)
            before = server.counts("stop after 0")
            output = finish(run_command(data, folder / "faults", server.url, arguments.concurrency))
            counts = server.counts()
        clean, rows = (read_rows(folder / run) for run in ("clean", "faults"))
        card = json.loads((folder / "faults" / "card.json").read_text())
    print(output)
    names = [row["id"] for row in rows]
    return {
        "calls": counts["calls"],
        "faults": counts["faults"],
        "kinds": counts["kinds"],
        "kills": arguments.kills,
        "calls_without_an_answer_at_a_kill": before["waiting"],
        "answers_paid": counts["paid"],
        "answers_in_the_card": card["tokens"]["answers"],
        "answers_paid_twice": counts["paid_twice"],
        "rows": len(rows),
        "rows_left_out": card["counts"]["left_out"],
        "rows_lost": len({row["id"] for row in clean} - set(names)),
        "rows_doubled": len(names) - len(set(names)),
        "rows_changed": sum(a != b for a, b in zip(clean, rows, strict=False)),
    }


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Reads the pairs without the name of the server, whose port differs."""
    rows = [json.loads(line) for line in (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key not in ("generator", "check")} for row in rows]


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if bars are checked and one is missed."""
    parser = Options(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=200, help="Of a round; 26 calls each.")
    parser.add_argument("--fault_pairs", type=int, default=70, help="Of the fault run.")
    parser.add_argument("--fault_rate", type=float, default=0.6, help="Share of its prompts that go wrong.")
    parser.add_argument("--kills", type=int, default=5, help="How often it is killed on the way.")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--delay", type=float, default=0.1, help="Seconds until an answer comes.")
    parser.add_argument("--check_bars", action="store_true", help="Fail if a bar is missed.")
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    rounds = []
    for _ in range(arguments.rounds):
        each = measure_round(arguments)
        rounds.append(each)
        print(f"share of the ideal rate {each.share:.3f}, {each.cpu_ms:.2f} ms of CPU per call, load {each.load:.1f}")
    shares = [each.share for each in rounds]
    print(f"median of {len(shares)}: {statistics.median(shares):.3f} (bar {LEAST_SHARE})")
    faults = inject_faults(arguments)
    table = Table("fault run", "number", box=None, pad_edge=False)
    for key, value in faults.items():
        listed = {f"  sent back: {kind}": n for kind, n in value.items()} if isinstance(value, dict) else {key: value}
        for label, number in sorted(listed.items()):
            table.add_row(label.replace("_", " "), f"{number:,}")
    Console(width=100).print(table)
    record = {"share": statistics.median(shares), "rounds": [r._asdict() for r in rounds], "faults": faults}
    write_numbers(arguments.json, record)
    share = statistics.median(shares)
    misses = [f"share of the ideal rate {share:.3f} < {LEAST_SHARE}"] if share < LEAST_SHARE else []
    zeros = ("answers_paid_twice", "rows_left_out", "rows_lost", "rows_doubled", "rows_changed")
    misses += [f"{name} {faults[name]} > 0" for name in zeros if faults[name]]
    for miss in misses:
        print(f"missed: {miss}")
    return int(arguments.check_bars and bool(misses))


if __name__ == "__main__":
    sys.exit(main())
