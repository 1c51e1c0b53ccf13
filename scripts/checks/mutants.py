"""Breaks the code in one place at a time and counts which of the breaks the tests notice.

    python -m scripts.checks.mutants --kept mutants.jsonl --json mutants.json

`mutants.toml` lists the breaks of each file: a function, a text that stands in it once, and what is put in its place.
They were drawn by kind (comparisons, arithmetic, bounds, constants, dropped statements) over losses, rewards,
corrections, statistics, run folders and pairs, with some by hand where an equation is. Where code has moved, the
function is looked for by its name and then the text alone in all files; a break whose text is nowhere, or twice, is
`gone`, which is neither killed nor survived: write its row anew.

Each break is made in a copy of the tree, in which a process runs the doctests of its file and the tests that the list
names, until one fails. Killed is what fails, dies, or takes many times as long as the whole code. A run that was cut
goes on from `--kept`, whose results are those of one tree: take another file for another tree.
"""

import argparse
import ast
import gc
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from scripts.harness import KeptRuns, Options, print_table, tell, write_numbers

for variable in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_OFFLINE", "OMP_NUM_THREADS"):  # before libraries read them
    os.environ.setdefault(variable, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT, LIST = Path(__file__).resolve().parents[2], Path(__file__).with_suffix(".toml")
# Imported once, by the server that each process is a copy of.
LIBRARIES = ["pytest", "hypothesis.strategies", "torch.distributed.tensor", "torch.testing", "transformers", "trl"]
LIBRARIES += ["datasets", "peft", "pandas", "scipy.stats", "scipy.optimize", "sklearn.linear_model", "linearmodels.iv"]
PYTEST = ["-x", "-q", "-n", "0", "--hypothesis-seed=0"]
PYTEST += [f"-pno:{plugin}" for plugin in ("randomly", "cacheprovider", "anyio", "unraisableexception")]
TIMES, AT_LEAST = 5, 10  # a break may take so many times the processor seconds of the whole code, and seconds more
PATIENCE = 1800.0  # seconds of the clock, for what waits and does not compute
BAR, OUTCOMES = 0.95, ("killed", "survived", "equivalent", "gone")


class Mutant(NamedTuple):
    """A break: where it is and what it changes; why no test can tell the two apart, where none can."""

    region: str
    file: str
    tests: tuple[str, ...]
    function: str
    old: str
    new: str
    equivalent: str = ""

    @property
    def key(self) -> str:
        """What results are kept under."""
        return f"{self.file} {self.function}: {self.old} -> {self.new}"


class Function(NamedTuple):
    """A function of a tree: its file, its name with its classes, its text, and where that begins in the file."""

    file: str
    name: str
    text: str
    start: int


def read_list(path: Path = LIST) -> list[Mutant]:
    """Reads the list: a table for each region and file, with its breaks as rows."""
    regions = tomllib.loads(path.read_text(encoding="utf-8"))
    return [
        Mutant(region, file, tuple(its["tests"]), *row)
        for region, files in regions.items()
        for file, its in files.items()
        for row in its["mutants"]
    ]


def functions_of(tree: Path) -> list[Function]:
    """Lists all functions, those in classes and not those in functions."""
    found = []
    for path in sorted(each for package in ("align", "rewards") for each in (tree / package).rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines(keepends=True)
        for name, node in _functions(ast.parse(source)):
            start = sum(map(len, lines[: node.lineno - 1]))
            text = "".join(lines[node.lineno - 1 : node.end_lineno])
            found.append(Function(path.relative_to(tree).as_posix(), name, text, start))
    return found


def _functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")


def place(mutant: Mutant, functions: list[Function]) -> Function | None:
    """Finds the one function that a break is for: in its file, else of its name, else with its text."""
    having = [each for each in functions if each.text.count(mutant.old) == 1]
    named = [each for each in having if each.name == mutant.function]
    for found in ([each for each in named if each.file == mutant.file], named, having):
        if len(found) == 1:
            return found[0]
    return None


def broken(source: str, function: Function, mutant: Mutant) -> str | None:
    """Returns a file with a break; None if the code is the same, as where the text is in a docstring."""
    at = source.index(mutant.old, function.start)
    changed = source[:at] + mutant.new + source[at + len(mutant.old) :]
    ours, theirs = (compile(each, "", "exec", optimize=2) for each in (changed, source))  # without docstrings
    return changed if ours != theirs else None


def run_pytest(copy: Path, tests: list[str], seconds: int) -> None:
    """Runs tests of a copy in this process, which has the libraries from the server, and ends it."""
    os.setsid()
    gc.freeze()  # looking through the libraries for garbage would take a second
    sys.dont_write_bytecode = False
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    for stream in (1, 2):
        os.dup2(os.open(copy / "pytest.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)
    sys.path[:] = [str(copy), *(path for path in sys.path if Path(path).resolve() != ROOT)]
    import pytest

    code = pytest.main([*PYTEST, f"--basetemp={copy / 'pytest'}", *tests])
    sys.stdout.flush()
    (copy / "seconds").write_text(str(sum(os.times()[:4])))
    os._exit(int(code))


def passes(copy: Path, tests: list[str], seconds: int) -> bool:
    """Says whether tests pass; how many processor seconds they took is in a file of the copy then."""
    (copy / "pytest.log").unlink(missing_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    process = context.Process(target=run_pytest, args=(copy, tests, seconds))
    process.start()
    process.join(PATIENCE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)  # also what tests started
    process.join()
    return process.exitcode == 0


def try_all(mutants: list[Mutant], tree: Path, kept: KeptRuns) -> dict[str, str]:
    """Returns the outcome of each break by its key."""
    functions = functions_of(tree)
    places = {mutant: place(mutant, functions) for mutant in mutants}
    files: dict[tuple[str, ...], set[str]] = defaultdict(set)  # by the tests that they share
    for mutant, function in places.items():
        files[mutant.tests] |= {function.file} if function else set()
    outcomes: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        copy = Path(folder)
        words = ["git", "-C", str(tree), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in filter(None, subprocess.run(words, check=True, capture_output=True, text=True).stdout.split("\0")):
            if (tree / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(tree / name, copy / name)
        for mutant, function in places.items():
            changed = function and broken((copy / function.file).read_text(encoding="utf-8"), function, mutant)
            outcome = "equivalent" if mutant.equivalent else ""
            if function is None or changed is None:
                outcome = "gone"
            elif not outcome and mutant.key not in kept:
                tests = [*sorted(files[mutant.tests]), *mutant.tests]
                key = "whole: " + " ".join(tests)
                if key not in kept:  # processor seconds without a break
                    if not passes(copy, tests, 3600):
                        raise SystemExit(
                            f"{key} must pass without a break:\n{(copy / 'pytest.log').read_text()[-2000:]}"
                        )
                    kept[key] = (copy / "seconds").read_text()
                source = (copy / function.file).read_text(encoding="utf-8")
                _write(copy / function.file, changed)
                passed = passes(copy, [function.file, *mutant.tests], int(AT_LEAST + TIMES * float(kept[key])))
                _write(copy / function.file, source)
                kept[mutant.key] = "survived" if passed else "killed"
            outcomes[mutant.key] = outcome or kept[mutant.key]
            print(f"{len(outcomes)}/{len(mutants)} {outcomes[mutant.key]}: {mutant.key}", flush=True)
    return outcomes


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()  # the other text may have the same time and size


def report(mutants: list[Mutant], arguments: argparse.Namespace) -> int:
    """Tries breaks, prints how many were noticed by region, and returns the exit code."""
    absent = sorted({test for each in mutants for test in each.tests if not (arguments.tree / test).exists()})
    if absent:
        raise SystemExit(f"Not there: {', '.join(absent)}. Name in {arguments.list} what became of them.")
    outcomes = try_all(mutants, arguments.tree.resolve(), KeptRuns(arguments.kept))
    counts = {name: Counter[str]() for name in (*dict.fromkeys(each.region for each in mutants), "all")}
    for each in mutants:
        for name in (each.region, "all"):
            counts[name][outcomes[each.key]] += 1
    shares = {name: each["killed"] / max(each["killed"] + each["survived"], 1) for name, each in counts.items()}
    rows = {name: [*(str(counts[name][each]) for each in OUTCOMES), f"{shares[name]:.3f}"] for name in counts}
    print_table("Mutants", [*OUTCOMES, "share killed"], rows, first="region")
    write_numbers(arguments.json, {"counts": counts, "share_killed": shares, "outcomes": outcomes})
    bars = {f"at least {BAR:.0%} are killed": shares["all"] >= BAR, "none is gone": not counts["all"]["gone"]}
    return tell(bars, arguments)


def main() -> int:
    """Tries the list, or a part of it."""
    parser = Options(__doc__)
    parser.add_argument("--tree", type=Path, default=ROOT, help="the code and tests to be tried")
    parser.add_argument("--list", type=Path, default=LIST)
    parser.add_argument("--only", nargs="+", metavar="REGION", help="regions, or files")
    parser.add_argument("--kept", type=Path, help="a file that keeps results, so that a run that was cut goes on")
    parser.add_numbers(f"exit with 1 unless {BAR:.0%}% are killed and none is gone")
    arguments = parser.parse_args()
    only = arguments.only
    mutants = [each for each in read_list(arguments.list) if not only or each.region in only or each.file in only]
    return report(mutants, arguments)


if __name__ == "__main__":
    sys.exit(main())
