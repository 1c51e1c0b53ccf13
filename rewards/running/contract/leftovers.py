"""What is left of a reward when its trial is over: threads, and processes."""

import os
import sys
import threading
import time

from rewards.running.contract.problem import RewardProblem

SECONDS_FOR_THREADS = 0.5  # those that are about to end may do so
LIBRARY_POOLS = ("concurrent.futures.thread", "concurrent.futures.process")  # they end their threads with Python


def children() -> list[int]:
    """Lists the child processes of this one; none where the system does not say."""
    found: list[int] = []
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children") as file:
                found += map(int, file.read().split())
    except OSError:  # no such file, or the thread has ended
        pass
    return found


def lasting_threads(before: set[threading.Thread]) -> list[str]:
    """Names the new threads for which Python would wait at its end, once the others had time to end."""
    deadline = time.monotonic() + SECONDS_FOR_THREADS
    found = []
    for thread in lasting() - before:
        thread.join(max(0.0, deadline - time.monotonic()))
        found += [thread.name] if thread.is_alive() else []
    return sorted(found)


def lasting() -> set[threading.Thread]:
    """Lists the threads for which Python waits at its end."""
    pools = [sys.modules[name] for name in LIBRARY_POOLS if name in sys.modules]
    ended_by_python = {
        thread
        for pool in pools
        for name in ("_threads_queues", "_threads_wakeups")
        for thread in vars(pool).get(name, ())
    }
    own = {threading.main_thread(), threading.current_thread()}
    return {each for each in threading.enumerate() if not each.daemon} - own - ended_by_python


SHOWN = 3
Baseline = set[threading.Thread]  # the threads that there were before a reward was loaded


def take_baseline() -> Baseline:
    """Takes down what there is."""
    return lasting()


def leftovers(name: str, before: Baseline) -> list[RewardProblem]:
    """Lists what a reward left behind."""
    threads = lasting_threads(before)
    if not threads:
        return []
    some = ", ".join(threads[:SHOWN]) + f" and {len(threads) - SHOWN} more" * (len(threads) > SHOWN)
    count, s = len(threads), "s" * (len(threads) > 1)
    return [RewardProblem.of(name, "keeps_threads", count=count, s=s, names=some)]
