"""What a call leaves behind in its process: seeds, the working folder, signal handlers, the environment."""

import os
import pickle
import random
import signal
import sys
from typing import Any, NamedTuple

from rewards.running.contract.interpreter import (
    SEARCH_PATH,
    Settings,
    changes,
    fresh_torch,
    interpreter_settings,
    put_back,
    torch_settings,
    working_folder,
)

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
        interpreter=interpreter_settings(),
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
    torch_before = fresh_torch() | before.torch
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
