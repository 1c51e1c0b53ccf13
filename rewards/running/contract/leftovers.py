"""What is left of a reward when its trial is over: replaced functions, threads, copies of the process."""

import threading
from typing import NamedTuple

from rewards.running.contract.patches import ModuleFunctions, module_functions, patched
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.processes import copies_came_back, lasting, lasting_threads, strays

PATCH_REMEDY = "Give your own function a name of its own: the trainer and its libraries call the ones you replace."
THREAD_REMEDY = "Start it with `daemon=True`, or end it before you return: training would never end."
FORK_REMEDY = (
    "End the copy with `os._exit(0)`, or use `subprocess` or `multiprocessing`: two processes would go on training."
)
STRAY_REMEDY = "End each before you return: they outlive the run, and fill the machine."
SHOWN = 3
MOST_STRAYS = 20  # a server that a reward starts once has some


class Baseline(NamedTuple):
    """What there was before a reward was loaded, and with what it loaded."""

    functions: ModuleFunctions
    threads: set[threading.Thread]
    strays: set[int]


def take_baseline(before: Baseline | None = None) -> Baseline:
    """Takes down what there is; with an earlier one, what was loaded since is added."""
    if before is None:
        copies_came_back()  # of the reward before this one
        return Baseline(module_functions(), lasting(), strays())
    return before._replace(functions=module_functions(before.functions))


def leftovers(name: str, before: Baseline) -> list[RewardProblem]:
    """Lists what a reward left behind."""
    found = []
    if copies_came_back():
        text = "comes back from its call in a second process, which `os.fork` made"
        found.append(RewardProblem(name, "forks", text, FORK_REMEDY))
    if names := patched(before.functions):
        text = f"replaces functions of other modules: {_some(names)}"
        found.append(RewardProblem(name, "patches", text, PATCH_REMEDY))
    if threads := lasting_threads(before.threads):
        text = (
            f"leaves {len(threads)} thread{'s' * (len(threads) > 1)} running that Python waits for: {_some(threads)}"
        )
        found.append(RewardProblem(name, "keeps_threads", text, THREAD_REMEDY))
    if len(more := strays() - before.strays) > MOST_STRAYS:
        text = f"leaves {len(more)} processes behind that have left its own (daemons)"
        found.append(RewardProblem(name, "leaves_processes", text, STRAY_REMEDY))
    return found


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
