"""How long `align train` takes to its first step: seconds of the processor and of the clock, in fresh processes.

    python -m scripts.benches.start --rounds 5
    python -m scripts.benches.start --rounds 5 --revisions HEAD~1 HEAD --recipes acre/quickstart sft/quickstart

Arms are the tree as it is, and revisions of git, each unpacked beside it; each round starts every recipe once in every
arm. A start is seen as `started.json` appears, which a run writes as its first step begins; the run makes one step.
Seconds of the processor are counted, children included, since those of the clock grow beside other work; beside much
of it those of the processor grow, too, and only what was measured in the same rounds can be compared.
"""

import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from align.runs.progress import STARTED_FILE
from scripts.harness import Options, write_numbers

ROOT = Path(__file__).resolve().parents[2]
TREE = "tree"
TICKS = os.sysconf("SC_CLK_TCK")
RECIPES = ("acre/quickstart", "sft/quickstart", "rrpo/quickstart")


def unpack(revision: str, folder: Path) -> Path:
    """Writes the files of a revision to a folder."""
    archive = folder / "revision.tar"
    subprocess.run(["git", "archive", "--output", archive, revision], cwd=ROOT, check=True)
    with tarfile.open(archive) as files:
        files.extractall(folder / "tree", filter="data")
    return folder / "tree"


def processor_seconds(process: int) -> float:
    """Reads what a process and its ended children have used."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def first_step(tree: Path, recipe: str) -> tuple[float, float]:
    """Starts a run of one step; returns the seconds of the processor and of the clock until it begins.

    Raises:
        RuntimeError: If the run ends before, with what it has said.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "said").open("w+b") as said:
        out = Path(folder) / "run"
        words = ["-m", "align", "train", recipe, "--max_steps", "1", "--output_dir", str(out)]
        environment = os.environ | {"PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1"}
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, *words], cwd=tree, env=environment, stdout=said, stderr=said)
        try:
            while not (out / STARTED_FILE).is_file():
                if process.poll() is not None:
                    said.seek(0)
                    raise RuntimeError(f"{recipe} ended with {process.returncode}: {said.read().decode()}")
                time.sleep(0.01)
            return processor_seconds(process.pid), time.monotonic() - began
        finally:
            process.kill()
            process.wait()


def main(argv: list[str] | None = None) -> int:
    """Prints a line for each recipe and arm."""
    parser = Options(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--revisions", nargs="*", default=[], help="of git, each an arm beside the tree")
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    numbers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        trees = {}
        for number, revision in enumerate(arguments.revisions):
            (place := Path(folder) / str(number)).mkdir()
            trees[revision] = unpack(revision, place)
        trees[TREE] = ROOT
        for recipe in arguments.recipes:
            taken: dict[str, list[tuple[float, float]]] = {arm: [] for arm in trees}
            for _ in range(arguments.rounds):
                for arm, times in taken.items():
                    times.append(first_step(trees[arm], recipe))
            for arm, times in taken.items():
                names = ("processor_seconds", "clock_seconds")
                found = {name: sorted(each[place] for each in times) for place, name in enumerate(names)}
                numbers[f"{recipe} {arm}"] = found
                middle, clock = (statistics.median(found[name]) for name in names)
                least, most = found["processor_seconds"][0], found["processor_seconds"][-1]
                print(
                    f"{recipe:>16} {arm:>8}: {middle:.1f} s of the processor ({least:.1f} to {most:.1f}), "
                    f"{clock:.1f} s of the clock, medians of {len(times)}",
                    flush=True,
                )
    write_numbers(arguments.json, numbers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
