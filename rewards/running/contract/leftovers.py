"""What is left of a reward when its trial is over: replaced functions, threads, copies of the process."""

import os
import select
import sys
import sysconfig
import threading
import time
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, NamedTuple

from rewards.running.contract.problem import RewardProblem
from rewards.running.worker import news_of_copies
from rewards.running.workers import FAMILY, family_members

KINDS = (FunctionType, BuiltinFunctionType, type, classmethod, staticmethod, property)
INSTALLED = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
Functions = dict[str, Any]
ModuleFunctions = dict[str, Functions]


def module_functions(known: ModuleFunctions | None = None) -> ModuleFunctions:
    """Takes down the functions, classes and methods of every loaded module, and keeps what was `known` before."""
    known = {} if known is None else known
    found = {name: own | _replaced(name, own, known, by_packages=True) for name, own in known.items()}
    for name, module in list(sys.modules.items()):
        if name not in found and type(module) is ModuleType:
            found[name] = _functions(module)
    return found


def patched(before: ModuleFunctions) -> list[str]:
    """Lists what another object stands for now, such as `json.loads`; one thing is named once.

    What an installed package does when it is imported is left out, as torch replaces a function of `inspect`, and so
    is what it does to itself.
    """
    names: dict[int, str] = {}
    for module_name, functions in before.items():
        for name, value in _replaced(module_name, functions, before, by_packages=False).items():
            names.setdefault(id(value), f"`{module_name}.{name}`")
    return list(names.values())


def _replaced(module_name: str, functions: Functions, before: ModuleFunctions, *, by_packages: bool) -> Functions:
    """Returns what stands for the functions of a module now, where a package that was loaded since put it, or not."""
    module = sys.modules.get(module_name)
    now = _functions(module) if type(module) is ModuleType else {}
    changed = {name: now[name] for name, old in functions.items() if now.get(name, old) is not old}
    if len(changed) > len(functions) // 2 + 1:
        return {}  # loaded anew, as `importlib.reload` does
    return {
        name: value for name, value in changed.items() if _is_a_packages_own(value, module_name, before) == by_packages
    }


def _is_a_packages_own(value: Any, replaced_in: str, before: ModuleFunctions) -> bool:
    name = str(getattr(getattr(value, "__func__", value), "__module__", None))
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    is_itself = name.partition(".")[0] == replaced_in.partition(".")[0]
    return file.startswith(INSTALLED) and (is_itself or name not in before)


def _functions(module: ModuleType) -> Functions:
    """Lists the functions of a module; a value is not asked for its class, since a proxy would load what it is for."""
    own = {name: value for name, value in list(vars(module).items()) if issubclass(type(value), KINDS)}
    methods = {
        f"{name}.{method}": value
        for name, found in own.items()
        if issubclass(type(found), type) and found.__module__ == module.__name__
        for method, value in list(vars(found).items())
        if issubclass(type(value), KINDS)
    }
    return own | methods


SECONDS_FOR_THREADS = 0.5  # those that are about to end may do so
SECONDS_FOR_COPIES = 0.2
LIBRARY_POOLS = ("concurrent.futures.thread", "concurrent.futures.process")  # they end their threads with Python


def copies_came_back() -> bool:
    """Tells whether a copy was ended since this was asked before; those on their way are waited for."""
    if not news_of_copies:
        news_of_copies[:] = os.pipe()
    found = bool(select.select(news_of_copies[:1], [], [], SECONDS_FOR_COPIES if children() else 0.0)[0])
    if found:
        os.read(news_of_copies[0], 1 << 16)
    return found


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


def strays() -> set[int]:
    """Lists the processes that descend from this worker and are no longer its children; none outside of workers."""
    family = os.environ.get(FAMILY)
    return set(family_members(f"{FAMILY}={family}")) - {os.getpid(), *children()} if family else set()


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
