"""Kills runs at random moments and compares where they end with the run that nobody killed.

    python -m scripts.checks.kill_test --kills 100

Each round trains one of the quickstarts for a few steps and kills the process (SIGKILL) once or several times: between
two steps, while a checkpoint is written, before the first one, or after the last. `--resume auto` goes on each time,
and at the end weights, every logged number, completions, reward counts and the record of the end must be those of the
uninterrupted run, bit for bit. What may differ is time. Exits with 1 if a round differs, and keeps its folders.
"""

import json
import multiprocessing
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from scripts.harness import Options

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # another number of threads is another order of sums
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pandas as pd
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "recipes" / "acre" / "assets" / "lab"
COMMON = shlex.split(
    "--max_steps 8 --save_strategy steps --save_steps 2 --save_total_limit 2 --logging_steps 1 --eval_strategy no "
    "--per_device_train_batch_size 16"
)
METHODS = {
    "acre": ["acre/quickstart", "--second_pass_batch_size", "16", "--reward_workers", "1"],
    "grpo": ["{folder}/grpo.yaml", "--num_generations", "8"],
    "rrpo": ["rrpo/quickstart"],
    "crome": ["crome/quickstart"],
    "deconfound": ["deconfound/quickstart"],
}
GRPO = """
method: grpo
model_name_or_path: {lab}/model
dataset: {{path: ./prompts.jsonl}}
reward_funcs: [./reward.py:short]
max_completion_length: 8
learning_rate: 1.0e-3
use_cpu: true
bf16: false
gradient_checkpointing: false
"""
REWARD = "def short(completions, **kwargs):\n    return [float(-len(each)) for each in completions]\n"
MOMENTS = ("start", "step", "save", "end")
TIMES = (
    "time/",
    "step_time",
    "second_pass_share",
    "_runtime",
    "_per_second",
    "profiling/",
    "train_",
    "seconds",
    "total_flos",
)
PATIENCE = 300.0  # seconds


class Pace(NamedTuple):
    """Seconds after its start at which the uninterrupted run had a first checkpoint, its last one, and ended."""

    first: float
    last: float
    end: float


def train(words: list[str], log: Path, resume: bool) -> None:
    """Runs `align train` in this process, which the fork server made, and ends it."""
    with log.open("a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    from align.errors import UserError
    from align.services.train import run

    try:
        code = run(words[0], words[1:], "auto" if resume else None)
    except UserError as error:
        sys.stderr.write(f"Error: {error}\n")
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def command(method: str, folder: Path, out: Path) -> list[str]:
    """Lists the recipe of a method and its overrides."""
    return [word.format(folder=folder) for word in METHODS[method]] + COMMON + ["--output_dir", str(out)]


def start(method: str, folder: Path, out: Path, resume: bool) -> BaseProcess:
    """Starts a run of a method."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["align.services.one_run", "trl", "align.training.build", "scipy.stats", "pyarrow"])
    process = context.Process(target=train, args=(command(method, folder, out), out.with_suffix(".log"), resume))
    process.start()
    return process


def whole(out: Path) -> int:
    """Counts the checkpoints that were written to their end."""
    return len(list(out.glob("checkpoint-*/manifest.json")))


def measure(method: str, folder: Path) -> Pace:
    """Makes the run that nobody kills."""
    out, began, first = folder / "whole", time.monotonic(), None
    process = start(method, folder, out, resume=False)
    last = 0.0
    while process.is_alive():
        if first is None and whole(out):
            first = time.monotonic() - began
        if not last and (out / "checkpoint-8" / "manifest.json").exists():
            last = time.monotonic() - began
        time.sleep(0.002)
    process.join()
    if process.exitcode or first is None:
        sys.exit(f"The uninterrupted run of {method} failed:\n{out.with_suffix('.log').read_text()[-3000:]}")
    return Pace(first, last, time.monotonic() - began)


def wait_for(moment: str, pace: Pace, out: Path, process: BaseProcess, random: random.Random) -> None:
    """Waits for the moment of a kill, or for the end of the run."""
    began = time.monotonic()
    seen = {path.name for path in out.glob("checkpoint-*")}
    delay = {
        "start": random.uniform(0, pace.first),
        "step": random.uniform(pace.first, pace.last),
        "save": random.uniform(0, 0.03),
        "end": random.uniform(0, pace.end - pace.last),
    }[moment]
    event = None if moment in ("save", "end") else began
    while process.is_alive() and time.monotonic() - began < PATIENCE:
        if event is None and moment == "save":
            names = {path.name for path in out.glob("checkpoint-*")}
            event = time.monotonic() if names - seen else None
        elif event is None and (out / "checkpoint-8" / "manifest.json").exists():
            event = time.monotonic()
        if event is not None and time.monotonic() - event >= delay:
            return
        time.sleep(0.001)


def attack(method: str, folder: Path, out: Path, pace: Pace, kills: int, random: random.Random) -> Counter[str]:
    """Kills a run some times, lets it end, and counts the kills by their moment."""
    made: Counter[str] = Counter()
    resume = False
    for _ in range(kills):
        moment = random.choice(MOMENTS)
        process = start(method, folder, out, resume)
        wait_for(moment, pace, out, process, random)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
            made[moment] += 1
        process.join()
        resume = (out / "recipe.yaml").exists()
    for _ in range(2):  # the second time, nothing must be left to do
        process = start(method, folder, out, resume)
        process.join()
        resume = True
        if process.exitcode:
            sys.exit(f"{method} did not go on:\n{out.with_suffix('.log').read_text()[-3000:]}")
    return made


def logged(path: Path) -> dict[Any, Any]:
    """Reads a log; the later line of a step counts, and times do not."""
    lines = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:  # a kill in the middle of a line
            continue
        key = tuple(entry.get(name) for name in ("step", "mode", "reward") if isinstance(entry.get(name), str | int))
        numbers = {name: value for name, value in entry.items() if not any(word in name for word in TIMES)}
        if "train_runtime" not in entry and "goes_on_after" not in entry:  # which says where a process began
            lines[key] = numbers
    return lines


def differences(expected: Path, found: Path) -> list[str]:
    """Names what a run left that another did not."""
    wrong = []
    names = [path.name for path in expected.glob("*") if path.suffix in (".safetensors", ".json", ".jinja")]
    for name in sorted(
        {*names} - {"versions.json", "checks.json", "started.json"}
    ):  # dates, the bytes that are free, seconds
        if not (found / name).exists() or (found / name).read_bytes() != (expected / name).read_bytes():
            wrong.append(name)
    wrong += [name for name in ("README.md", "report.html") if not (found / name).exists()]
    for name in ("metrics.jsonl", "rewards.jsonl"):
        both = logged(expected / name), logged(found / name)
        if both[0] != both[1]:
            steps = [key for key in {**both[0], **both[1]} if both[0].get(key) != both[1].get(key)]
            wrong.append(f"{name} at {steps}")
    for path in sorted((expected / "completions").glob("*.parquet")):
        other = found / "completions" / path.name
        if not other.exists() or not pd.read_parquet(path).equals(pd.read_parquet(other)):
            wrong.append(path.name)
    return wrong


def write_recipe(folder: Path) -> None:
    """Writes the recipe of plain GRPO."""
    rows = [json.loads(line) for line in (LAB / "train.jsonl").read_text().splitlines()[:8]]  # two passes
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": row["question"]}) + "\n" for row in rows))
    (folder / "reward.py").write_text(REWARD)
    (folder / "grpo.yaml").write_text(GRPO.format(lab=LAB))


def main() -> None:
    """Kills until there were enough."""
    parser = Options(__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where runs go; a temporary folder by default")
    arguments = parser.parse_args()
    out = arguments.out or Path(tempfile.mkdtemp(prefix="kill-test-"))
    generator = random.Random(arguments.seed)
    paces, rounds, made = {}, Counter[str](), {method: Counter[str]() for method in arguments.methods}
    failed: dict[str, list[str]] = {}
    for method in arguments.methods:
        folder = out / method
        folder.mkdir(parents=True, exist_ok=True)
        write_recipe(folder)
        paces[method] = measure(method, folder)
    while (killed := sum(sum(each.values()) for each in made.values())) < arguments.kills:
        method = min(arguments.methods, key=lambda name: sum(made[name].values()))
        rounds[method] += 1
        run = out / method / f"round-{rounds[method]}"
        others = sum(not each for name, each in made.items() if name != method)  # still to be killed once
        times = min(generator.randint(1, 3), max(1, arguments.kills - killed - others))
        made[method] += attack(method, out / method, run, paces[method], times, generator)
        wrong = differences(out / method / "whole", run)
        if wrong:
            failed[f"{method}/{run.name}"] = wrong
        else:
            shutil.rmtree(run)
    table = Table(box=None, pad_edge=False)
    for column in ("method", "rounds", *MOMENTS, "kills", "rounds that end elsewhere"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for method in arguments.methods:
        elsewhere = sum(name.startswith(f"{method}/") for name in failed)
        counts = [made[method][moment] for moment in MOMENTS]
        table.add_row(method, *map(str, (rounds[method], *counts, sum(counts), elsewhere)))
    Console(width=110).print(table)
    for name, wrong in failed.items():
        print(f"{out / name}: {', '.join(wrong)}")
    if failed:
        sys.exit(1)
    if arguments.out is None:
        shutil.rmtree(out)
    print(f"{killed} kills, {sum(rounds.values())} rounds, all ended like the uninterrupted run.")


if __name__ == "__main__":
    main()
