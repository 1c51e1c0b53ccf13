"""A process with a time limit, of which nothing is left over."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


def start(words: Sequence[str], log: Path, seconds: float, variables: dict[str, str]) -> int:
    """Runs a process and those that it starts, and ends all of them; returns the exit code, 124 if time was up."""
    # `timeout` holds where this process is killed and can end nothing any more.
    limit = ["timeout", "--kill-after=5", f"{seconds + 5:.0f}"] if shutil.which("timeout") else []
    with log.open("w") as output:
        process = subprocess.Popen(
            [*limit, *words], cwd=ROOT, env=variables, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return 124
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process with all that it started; servers and launched workers have sessions of their own."""
    with suppress(psutil.NoSuchProcess):
        for each in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                each.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # also those whose parent is gone
    process.wait()
