"""What a process has one of, which a reward shares with the trainer, and what of it a call leaves changed."""

import contextlib
import decimal
import gc
import locale
import logging
import os
import pickle
import random
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

LIMITS = {getattr(resource, name): name for name in sorted(dir(resource), reverse=True) if name.startswith("RLIMIT_")}
SEARCH_PATH = "`sys.path`"
ALARM = "an alarm that is still to come"
Settings = dict[str, Any]


class Setting(NamedTuple):
    """One setting: how it is read, how it is put back, and what it is at first; None if machines differ in that."""

    read: Callable[[], Any]
    write: Callable[[Any], Any]
    fresh: Any = None


def _attribute(module: Any, name: str, fresh: Any = None) -> Setting:
    return Setting(lambda: getattr(module, name), lambda value: setattr(module, name, value), fresh)


INTERPRETER = {
    "the recursion limit": Setting(sys.getrecursionlimit, sys.setrecursionlimit),
    "the switch interval of threads": Setting(sys.getswitchinterval, sys.setswitchinterval),
    "the longest int that is read": Setting(sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    "garbage collection": Setting(gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    "the locale": Setting(
        lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)
    ),
    "the precision of decimals": Setting(
        lambda: decimal.getcontext().prec, lambda value: setattr(decimal.getcontext(), "prec", value)
    ),
    "the time limit of sockets": Setting(socket.getdefaulttimeout, socket.setdefaulttimeout),
    "the level below which nothing is logged": Setting(lambda: logging.root.manager.disable, logging.disable),
    **{f"`sys.{name}`": _attribute(sys, name) for name in ("stdin", "stdout", "stderr", "excepthook", "displayhook")},
    "`threading.excepthook`": _attribute(threading, "excepthook"),
    ALARM: Setting(lambda: bool(signal.getitimer(signal.ITIMER_REAL)[0]), lambda value: signal.alarm(0)),
    SEARCH_PATH: Setting(lambda: list(sys.path), lambda value: sys.path.__setitem__(slice(None), value)),
    "the tracing of lines": Setting(sys.gettrace, sys.settrace),
    "standard input, output or error": Setting(lambda: [_identity(number) for number in range(3)], lambda value: None),
    **{
        f"the limit {name.removeprefix('RLIMIT_')}": Setting(
            lambda limit=limit: resource.getrlimit(limit),  # type: ignore[misc]
            lambda value, limit=limit: resource.setrlimit(limit, value),  # type: ignore[misc]
        )
        for limit, name in LIMITS.items()
    },
}


def torch_settings(*, fresh: bool = False) -> Settings:
    """Reads the settings of torch, or those that it starts with, if it is loaded."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_num_threads"):  # it may be loading in another thread
        return {}
    known = _torch(torch)
    if fresh:
        return {name: setting.fresh for name, setting in known.items() if setting.fresh is not None}
    return {name: setting.read() for name, setting in known.items()}


def working_folder() -> str:
    """Returns the path of the working folder, which may be gone."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "one that does not exist any more"


def changes(before: Settings, after: Settings) -> list[str]:
    """Lists what differs, with both values where they say something."""
    return [
        name + _values(before[name], after[name]) for name in after if name in before and before[name] != after[name]
    ]


def put_back(before: Settings, after: Settings) -> None:
    """Puts settings back, as far as the system allows it."""
    torch = sys.modules.get("torch")
    known = INTERPRETER | (_torch(torch) if torch is not None else {})
    for name in after:
        if name in before and before[name] != after[name]:
            with contextlib.suppress(ValueError, OSError, RuntimeError):  # a hard limit cannot be raised again
                known[name].write(before[name])


def _torch(torch: Any) -> dict[str, Setting]:
    cudnn, threads = torch.backends.cudnn, 1 if os.environ.get("OMP_NUM_THREADS") == "1" else None
    return {
        "gradients": Setting(torch.is_grad_enabled, torch.set_grad_enabled, True),
        "inference mode": Setting(torch.is_inference_mode_enabled, lambda value: None, False),
        "autocast": Setting(
            lambda: {device: torch.is_autocast_enabled(device) for device in ("cpu", "cuda")},
            lambda value: [torch.set_autocast_enabled(device, on) for device, on in value.items()],
            {"cpu": False, "cuda": False},
        ),
        "the default dtype": Setting(
            lambda: str(torch.get_default_dtype()),
            lambda value: torch.set_default_dtype(getattr(torch, value.removeprefix("torch."))),
            "torch.float32",
        ),
        "the number of threads": Setting(torch.get_num_threads, torch.set_num_threads, threads),
        "deterministic algorithms": Setting(
            torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, False
        ),
        "the search for anomalies": Setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, False),
        "the precision of float32 products": Setting(
            torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"
        ),
        "cuDNN": _attribute(cudnn, "enabled", True),
        "the search for fast cuDNN kernels": _attribute(cudnn, "benchmark", False),
        "deterministic cuDNN": _attribute(cudnn, "deterministic", False),
        "the default device": Setting(lambda: str(torch.get_default_device()), torch.set_default_device, "cpu"),
    }


def _identity(number: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _values(before: Any, after: Any) -> str:
    if isinstance(after, bool):
        return f" (now {'on' if after else 'off'})"
    return f" ({before} to {after})" if isinstance(after, int | float | str) else ""


SIGNALS = [getattr(signal, name) for name in ("SIGALRM", "SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)]
SET_BY_LIBRARIES = ("TORCHINDUCTOR_", "TRITON_", "KMP_")  # for themselves, when they are first used
HANDLER_REMEDY = "Put the old handler back: checkpoints before preemption and Ctrl-C depend on it."
FOLDER_REMEDY = "Use absolute paths: checkpoints would go elsewhere, because `output_dir` is relative to it."
ENVIRONMENT_REMEDY = "Set variables before training; libraries read them at different times."
SEED_REMEDY = "Use a generator of your own (`random.Random(0)`): with the global one every step draws the same."
INTERPRETER_REMEDY = "Put it back before you return: the trainer runs in the same interpreter."
TORCH_REMEDY = "Put it back before you return, as `with torch.no_grad():` does: the model trains with the same torch."


class State(NamedTuple):
    """What else a process keeps, before or after a call."""

    folder: str
    environment: dict[str, str]
    handlers: dict[str, Any]
    interpreter: Settings
    torch: Settings


def process_state() -> State:
    """Takes a picture of the process."""
    return State(
        folder=working_folder(),
        environment=dict(os.environ),
        handlers={number.name: signal.getsignal(number) for number in SIGNALS},
        interpreter={name: setting.read() for name, setting in INTERPRETER.items()},
        torch=torch_settings(),
    )


def left_behind(before: State, after: State) -> list[tuple[str, str, str]]:
    """Lists kind, sentence and remedy of what a call left behind; drawing from a generator is not among it."""
    found = []
    if after.folder != before.folder:
        found.append(("changes_folder", f"changes the working folder to {after.folder}", FOLDER_REMEDY))
    changed = [name for name, handler in after.handlers.items() if handler != before.handlers[name]]
    if changed:
        found.append(("signal_handler", f"leaves another handler of {', '.join(changed)} behind", HANDLER_REMEDY))
    names = {
        name
        for name in {*before.environment, *after.environment}
        if before.environment.get(name) != after.environment.get(name) and not name.startswith(SET_BY_LIBRARIES)
    }
    if names:
        text = f"changes the environment: {', '.join(sorted(names))}"
        found.append(("environment", text, ENVIRONMENT_REMEDY))
    return found + changed_settings(before, after)


def loaded_settings(before: State, after: State) -> list[tuple[str, str, str]]:
    """Lists what loading a reward changed; modules are allowed to extend the search path."""
    kept = before.interpreter | {SEARCH_PATH: after.interpreter[SEARCH_PATH]}
    return changed_settings(before._replace(interpreter=kept), after)


def changed_settings(before: State, after: State) -> list[tuple[str, str, str]]:
    """Lists what a call, or loading, did to settings of the interpreter and of torch, and puts them back."""
    found = []
    if names := changes(before.interpreter, after.interpreter):
        found.append(("interpreter", f"changes settings of Python: {', '.join(names)}", INTERPRETER_REMEDY))
    torch_before = torch_settings(fresh=True) | before.torch
    if names := changes(torch_before, after.torch):
        found.append(("torch", f"changes settings of torch: {', '.join(names)}", TORCH_REMEDY))
    put_back(before.interpreter | torch_before, after.interpreter | after.torch)
    return found


def seeded(one: dict[str, bytes], other: dict[str, bytes]) -> list[tuple[str, str, str]]:
    """Compares random states after two calls that began with different ones: equal ends mean a fixed seed."""
    names = [name for name, state in one.items() if other.get(name) == state]
    return [("seeds", f"sets the seed of {' and '.join(names)}", SEED_REMEDY)] if names else []


def random_states() -> dict[str, bytes]:
    """Reads the state of every global generator that is loaded."""
    states = {"random": pickle.dumps(random.getstate())}
    if "numpy" in sys.modules:
        states["numpy.random"] = pickle.dumps(sys.modules["numpy"].random.get_state())
    if "torch" in sys.modules:
        states["torch"] = sys.modules["torch"].get_rng_state().numpy().tobytes()
    return states


def move_generators() -> None:
    """Draws from every generator, so that a call that sets a seed can be told from one that leaves them alone."""
    random.random()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.random()
    if "torch" in sys.modules:
        sys.modules["torch"].rand(1)
