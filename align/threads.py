"""How many threads torch computes with: those that wait for each other spin, on cores that other work needs."""

import math
import os
import sys
from pathlib import Path
from typing import NamedTuple

VARIABLE = "OMP_NUM_THREADS"
SMALL = 2_000_000  # weights below which more threads gain less than a tenth; `scripts/benches/threads.py`
_USERS = f"`{VARIABLE}`"
_chosen: str | None = None  # what this process put into the variable


class Threads(NamedTuple):
    """A number of threads, and who or what chose it."""

    number: int
    why: str


def choose_threads(parameters: int | None) -> Threads:
    """Chooses one thread for a small model and else one for each core; a number that the user set wins.

    Args:
        parameters: Of the largest model that is read; None if it is not known.
    """
    given = os.environ.get(VARIABLE, "")
    if given.isdecimal() and int(given) > 0 and given != _chosen:
        return Threads(int(given), _USERS)
    if parameters is not None and parameters < SMALL:
        return Threads(1, f"the model has fewer than {SMALL // 1_000_000} million weights")
    shared = max(1, int(os.environ.get("LOCAL_WORLD_SIZE") or 1))
    return Threads(max(1, num_cores() // shared), "cores of each process" if shared > 1 else "cores")


def use_threads(parameters: int | None) -> Threads:
    """Has this process, and those that it starts, compute with the threads that are chosen."""
    global _chosen
    threads = choose_threads(parameters)
    if threads.why != _USERS:
        os.environ[VARIABLE] = _chosen = str(threads.number)
    if (torch := sys.modules.get("torch")) is not None:  # which reads the variable once, as it is loaded
        torch.set_num_threads(threads.number)
    return threads


def num_cores(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Counts the cores that this process may use: those of its affinity, within a container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return min(cores, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such group, or "max"
        pass
    try:
        quota_us, period_us = (int((group / "cpu" / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    except (OSError, ValueError):
        return cores
    return min(cores, max(1, math.ceil(quota_us / period_us))) if quota_us > 0 else cores
