"""What a process has one of, which a reward shares with the trainer, and what of it a call leaves changed."""

import contextlib
import os
import pickle
import random
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

Settings = dict[str, Any]


class Setting(NamedTuple):
    """One setting: how it is read, how it is put back, and what it is at first; None if machines differ in that."""

    read: Callable[[], Any]
    write: Callable[[Any], Any]
    fresh: Any = None


def torch_settings(*, fresh: bool = False) -> Settings:
    """Reads the settings of torch, or those that it starts with, if it is loaded."""
    known = _torch()
    if fresh:
        return {name: setting.fresh for name, setting in known.items() if setting.fresh is not None}
    return {name: setting.read() for name, setting in known.items()}


def working_folder() -> str:
    """Returns the path of the working folder, which may be gone."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "one that does not exist any more"


def _torch() -> dict[str, Setting]:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_num_threads"):  # it may be loading in another thread
        return {}
    threads, devices = 1 if os.environ.get("OMP_NUM_THREADS") == "1" else None, ("cpu", "cuda")
    return {
        "gradients": Setting(torch.is_grad_enabled, torch.set_grad_enabled, True),
        "inference mode": Setting(torch.is_inference_mode_enabled, lambda value: None, False),
        "autocast": Setting(
            lambda: {device: torch.is_autocast_enabled(device) for device in devices},
            lambda value: [torch.set_autocast_enabled(device, on) for device, on in value.items()],
            dict.fromkeys(devices, False)),
        "the default dtype": Setting(
            lambda: str(torch.get_default_dtype()),
            lambda value: torch.set_default_dtype(getattr(torch, value.removeprefix("torch."))), "torch.float32"),
        "the number of threads": Setting(torch.get_num_threads, torch.set_num_threads, threads),
        "deterministic algorithms": Setting(
            torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, False),
        "the precision of float32 products": Setting(
            torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
        "the default device": Setting(lambda: str(torch.get_default_device()), torch.set_default_device, "cpu"),
    }  # fmt: skip


def _values(before: Any, after: Any) -> str:
    if isinstance(after, bool):
        return f" (now {'on' if after else 'off'})"
    return f" ({before} to {after})" if isinstance(after, int | float | str) else ""


Effect = tuple[str, dict[str, str]]  # a fault, and what was seen of it


class State(NamedTuple):
    """What else a process keeps, before or after a call."""

    folder: str
    torch: Settings


def process_state() -> State:
    """Takes a picture of the process."""
    return State(working_folder(), torch_settings())


def left_behind(before: State, after: State) -> list[Effect]:
    """Lists what a call left behind; drawing from a generator is not among it."""
    found: list[Effect] = []
    if after.folder != before.folder:
        found.append(("changes_folder", {"folder": after.folder}))
    return found + changed_settings(before.torch, after.torch)


def changed_settings(before: Settings, after: Settings) -> list[Effect]:
    """Lists what a call, or loading, did to settings of torch, and puts them back."""
    if before == after:
        return []
    before, known = torch_settings(fresh=True) | before, _torch()
    changed = [name for name in after if name in before and before[name] != after[name]]
    for name in changed:
        with contextlib.suppress(ValueError, RuntimeError):  # as far as torch allows it
            known[name].write(before[name])
    names = ", ".join(name + _values(before[name], after[name]) for name in changed)
    return [("torch", {"names": names})] if changed else []


def seeded(one: dict[str, bytes], other: dict[str, bytes]) -> list[Effect]:
    """Compares random states after two calls that began with different ones: equal ends mean a fixed seed."""
    names = [name for name, state in one.items() if other.get(name) == state]
    return [("seeds", {"names": " and ".join(names)})] if names else []


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
