"""What a process has one of: settings of the interpreter and of torch, which a reward shares with the trainer."""

import contextlib
import decimal
import gc
import locale
import logging
import os
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
    """One setting: how it is read, and how it is put back."""

    read: Callable[[], Any]
    write: Callable[[Any], Any]


def _attribute(module: Any, name: str) -> Setting:
    return Setting(lambda: getattr(module, name), lambda value: setattr(module, name, value))


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


def interpreter_settings() -> Settings:
    """Reads the settings of the interpreter."""
    return {name: setting.read() for name, setting in INTERPRETER.items()}


def torch_settings() -> Settings:
    """Reads the settings of torch, if it is loaded."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_num_threads"):  # it may be loading in another thread
        return {}
    return {name: setting.read() for name, setting in _torch(torch).items()}


def working_folder() -> str:
    """Returns the path of the working folder, which may be gone."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "one that does not exist any more"


def fresh_torch() -> Settings:
    """Lists the settings that torch starts with; its threads are those of OpenMP, if they are one."""
    return FRESH_TORCH | ({"the number of threads": 1} if os.environ.get("OMP_NUM_THREADS") == "1" else {})


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


FRESH_TORCH: Settings = {
    "gradients": True,
    "inference mode": False,
    "autocast": {"cpu": False, "cuda": False},
    "the default dtype": "torch.float32",
    "deterministic algorithms": False,
    "the search for anomalies": False,
    "the precision of float32 products": "highest",
    "cuDNN": True,
    "the search for fast cuDNN kernels": False,
    "deterministic cuDNN": False,
    "the default device": "cpu",
}


def _torch(torch: Any) -> dict[str, Setting]:
    cudnn = torch.backends.cudnn
    return {
        "gradients": Setting(torch.is_grad_enabled, torch.set_grad_enabled),
        "inference mode": Setting(torch.is_inference_mode_enabled, lambda value: None),
        "autocast": Setting(
            lambda: {device: torch.is_autocast_enabled(device) for device in ("cpu", "cuda")},
            lambda value: [torch.set_autocast_enabled(device, on) for device, on in value.items()],
        ),
        "the default dtype": Setting(
            lambda: str(torch.get_default_dtype()),
            lambda value: torch.set_default_dtype(getattr(torch, value.removeprefix("torch."))),
        ),
        "the number of threads": Setting(torch.get_num_threads, torch.set_num_threads),
        "deterministic algorithms": Setting(
            torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms
        ),
        "the search for anomalies": Setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
        "the precision of float32 products": Setting(
            torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
        ),
        "cuDNN": _attribute(cudnn, "enabled"),
        "the search for fast cuDNN kernels": _attribute(cudnn, "benchmark"),
        "deterministic cuDNN": _attribute(cudnn, "deterministic"),
        "the default device": Setting(lambda: str(torch.get_default_device()), torch.set_default_device),
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
