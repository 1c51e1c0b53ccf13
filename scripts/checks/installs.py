"""What each size of an install weighs and costs, and whether it works: installed anew from the index, then used.

    python -m scripts.checks.installs                                    # the base, [eval] and [train]
    python -m scripts.checks.installs --sizes eval --beside transformers==5.5.0 --tests tests/evaluation
    python -m scripts.checks.installs --sizes base --beside ms-swift

Each is an environment of its own in a temporary folder, which is removed; packages come from the index, not from
pip's cache. `--tests` are run in it by its own Python: without TRL, those that need it are skipped.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from scripts.checks.beside import ROOT, SHOWN
from scripts.harness import Options, write_numbers

LAB = ROOT / "recipes" / "acre" / "assets" / "lab"
ROWS = ("--data", str(LAB / "eval.jsonl"), "--max_rows", "8")
ASKED = ("eval", "--model", str(LAB / "misreader"), *ROWS, "--recipe", "acre/quickstart", "--out", "asked")
USES: dict[str, list[tuple[str, ...]]] = {
    "base": [("audit", "--recipe", "acre/quickstart", "--max_rows", "60", "--out", "audit")],
    "eval": [ASKED],
    "train": [("check", "acre/quickstart"), ASKED],
}
FOR_TESTS = ("pytest", "pytest-xdist", "pytest-randomly", "pytest-socket", "hypothesis")


def take(*words: str, folder: Path) -> tuple[float, float, str]:
    """Runs a command, and returns its seconds of the wall and of the processor, and the last line that it says.

    Raises:
        ValueError: If it fails; with the end of what it said.
    """
    settings = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(words, cwd=folder, env=settings, capture_output=True, text=True)
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise ValueError(f"{' '.join(words[1:4])} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, cpu, "".join(done.stdout.strip().splitlines()[-1:])


def install(size: str, wheel: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Installs a size beside other packages into a new environment, and uses it; raises as `take` does."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        take(sys.executable, "-m", "venv", "environment", folder=folder)
        python = str(folder / "environment" / "bin" / "python")
        pip = (python, "-m", "pip", "install", "--quiet", "--no-compile", "--no-cache-dir")
        ours = str(wheel) if size == "base" else f"{wheel}[{size}]"
        wall, cpu, _ = take(*pip, ours, *arguments.beside, folder=folder)
        (site,) = (folder / "environment" / "lib").glob("python*/site-packages")
        megabytes = sum(path.lstat().st_blocks for path in site.rglob("*")) / 2048  # pip among them
        take(python, "-m", "pip", "check", folder=folder)
        versions = {each.name.lower(): each.version for each in distributions(path=[str(site)])}
        named = [*SHOWN, *(Requirement(each).name for each in arguments.beside)]
        found = {"megabytes": round(megabytes), "seconds": round(wall), "processor": round(cpu)}
        found |= {"packages": len(versions), "versions": {name: versions[name] for name in named if name in versions}}
        for words in USES[size]:
            take(python, "-m", "align", *words, folder=folder)
        if arguments.tests:
            take(*pip, *FOR_TESTS, folder=folder)
            tests = (
                "-q",
                "-n",
                "0",
                "--randomly-seed=1",
                "-p",
                "no:cacheprovider",
                "-m",
                "not slow",
                *arguments.tests,
            )
            *_, found["tests"] = take(python, "-m", "pytest", *tests, folder=ROOT)
        return found


def main() -> int:
    """Installs each size, prints what it took, and returns 1 if one does not install or work."""
    parser = Options(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=USES, default=tuple(USES))
    parser.add_argument("--beside", nargs="+", default=(), help="what is asked of pip together with ours")
    parser.add_argument("--tests", nargs="+", default=(), help="files or folders of tests to run in it")
    parser.add_numbers()
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        take(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, str(ROOT), folder=ROOT)
        (wheel,) = Path(folder).glob("*.whl")
        for size in arguments.sizes:
            try:
                found[size] = install(size, wheel, arguments)
            except ValueError as error:
                found[size] = {"failed": str(error)}
            print(size, found[size], flush=True)
    write_numbers(arguments.json, {"beside": list(arguments.beside), "sizes": found})
    return int(any("failed" in each for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())
