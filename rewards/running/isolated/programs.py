import base64
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

_LAUNCHER = Path(__file__).with_name("launcher.py")
_WALL = 4.0  # times the seconds of computing
_SPARE = 12.0  # times as long until a launcher itself is given up, which is later than it gives up its program
# What runs in the program's own process. It is not believed: it may have been changed by the
# program. `REFUSED` is the launcher's to fill in.
_EVALUATE = """
import json, os, sys, types
place_of_values, itself = int(sys.argv.pop()), os.getpid()
with open("program.py", encoding="utf-8") as file:
    source = file.read()
with open("expressions.json", encoding="utf-8") as file:
    expressions = json.load(file)
def refused(kind, rest, place="atexit"):
    if issubclass(kind, (MemoryError, BlockingIOError)) and "atexit" in place:  # where Python itself goes on
        os._exit(REFUSED)
sys.excepthook = lambda kind, *rest: refused(kind, rest)
sys.unraisablehook = lambda error: refused(error.exc_type, error, str(error.err_msg))
program = sys.modules["program"] = types.ModuleType("program")  # dataclasses look names up in it
names = program.__dict__
exec(compile(source, "program.py", "exec"), names)
if os.getpid() != itself:  # a copy that came back
    os._exit(0)
for place, expression in enumerate(expressions):
    try:
        value = repr(eval(expression, names))[:100000]
    except Exception:  # it has no value, which fails its test
        value = None
    os.write(place_of_values, json.dumps([place, value]).encode() + b"\\n")
if "threading" in sys.modules:
    sys.modules["threading"].excepthook = lambda error: refused(error.exc_type, error)
"""


class ProgramLimits(NamedTuple):
    """What one program may use."""

    seconds: float = 5.0  # of computing; four times as much by all its processes and with sleep
    memory_mb: int = 512  # of each process, and of all its processes together
    disk_mb: int = 16  # of its own folder, which is in memory
    output_kb: int = 256  # of what it prints
    processes: int = 16  # at the same time


class ProgramRun(NamedTuple):
    """A program to run."""

    program: str
    expressions: tuple[str, ...] | None = None  # to evaluate after it; None runs it as a script
    given: str = ""  # what it reads from stdin
    output: str = ""  # what it must print, as far as that is known; it never sees it


class ProgramEnd(NamedTuple):
    """How a program ended."""

    ended: str  # exit, or its limit: seconds, memory, output, processes, refused; supervisor where that one ended
    code: int | None  # negative for a signal
    printed: str  # to stdout
    values: dict[int, str]  # `repr` of each expression by its place, where there is one


class NotRunError(RuntimeError):
    """A program that could not be run, which says nothing about it."""


def run_programs(runs: Sequence[ProgramRun], limits: ProgramLimits, *, isolated: bool, workers: int) -> list[Any]:
    """Runs programs, `workers` at a time; gives `ProgramEnd`s, or a `NotRunError` where the machine failed."""
    with ThreadPoolExecutor(max_workers=workers) as threads:
        return list(threads.map(lambda run: _attempt(run, limits, isolated), runs))


@cache
def why_not_isolated() -> str:
    """Says why programs cannot be isolated on this machine; empty where they can."""
    try:
        end = _run(ProgramRun("print(1)"), ProgramLimits(), isolated=True)
    except NotRunError as error:
        return str(error)
    return "" if end.printed == "1\n" else f"a program that prints 1 ended with {end.ended} {end.code}"


def _prefixes() -> list[str]:
    return list(dict.fromkeys((sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parents[1]))))


def closed_prefixes() -> list[str]:
    """Lists the folders of this Python that only their owner may read, as umask 077 leaves them."""
    return [
        folder
        for folder in _prefixes()
        if not all(each.lstat().st_mode & 0o004 for each in (Path(folder), *Path(folder).iterdir()))
    ]


def _attempt(run: ProgramRun, limits: ProgramLimits, isolated: bool) -> ProgramEnd | NotRunError:
    try:
        return _run(run, limits, isolated)
    except NotRunError as error:
        return error


def _run(run: ProgramRun, limits: ProgramLimits, isolated: bool) -> ProgramEnd:
    words = [sys.executable, "-I", "-S", str(_LAUNCHER)]
    # An isolated program has a folder in memory, which goes with it however this process ends.
    with nullcontext("") if isolated else tempfile.TemporaryDirectory(prefix="truealign-program-") as folder:
        job = run._asdict() | limits._asdict() | {
            "input": run.given, "isolated": isolated, "folder": folder, "prefixes": _prefixes(),
            "wall_seconds": _WALL * limits.seconds, "evaluate": _EVALUATE,
        }  # fmt: skip
        try:
            done = subprocess.run(
                words, input=json.dumps(job), capture_output=True, text=True, env={}, cwd="/", start_new_session=True,
                timeout=_SPARE * _WALL * limits.seconds,
            )  # fmt: skip
            found = json.loads(done.stdout)
        except (OSError, subprocess.TimeoutExpired, ValueError) as error:
            raise NotRunError(f"{type(error).__name__}: {str(error)[:300]}") from error
    if "problem" in found:
        raise NotRunError(found["problem"])
    printed, values = (base64.b64decode(found[name]).decode("utf-8", "replace") for name in ("printed", "values"))
    return ProgramEnd(found["ended"], found["code"], printed, _read_values(values))


def _read_values(text: str) -> dict[int, str]:
    """Reads lines that a program may have written itself: what is no value is left out."""
    values = {}
    for line in text.split("\n"):
        try:
            place, value = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            continue
        if isinstance(place, int) and isinstance(value, str):
            values[place] = value
    return values


def check_limits(limits: ProgramLimits) -> None:
    """Raises `ValueError` for the first limit that is no finite number above 0."""
    for name, value in limits._asdict().items():
        whole = name != "seconds"
        is_number = isinstance(value, int) if whole else isinstance(value, int | float)
        if isinstance(value, bool) or not is_number or not 0 < value < math.inf:
            kind = "whole number" if whole else "finite number"
            raise ValueError(f"`{name}` must be a {kind} above 0, got {value!r}.")
