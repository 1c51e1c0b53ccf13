"""Starts Python processes in which the libraries are loaded already: importing them costs more than most tests' steps.

`PYTHON` is used as `sys.executable` is. What it starts is a process of its own, forked from one that has loaded the
libraries and has done nothing else; its words, folder, variables, streams, signals and end are those of a fresh
interpreter. What it cannot show is in a fresh one only: which modules a command loads, what a library reads from the
environment or prints while it is loaded. `scripts/fresh.sh` runs the commands of a stranger without it.

As a program: `python preloaded.py HANDLE` is the process that is forked, where HANDLE is a listening socket; it ends
with its standard input.
"""

import atexit
import ctypes
import importlib
import json
import os
import platform
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psutil

CLIENT = Path(__file__).with_name("preloaded_client.py")
SIZE = struct.Struct("!i")
# Not what imports vLLM: whether a process may use it is decided before (`without_vllm`).
LOADED = (
    "transformers.trainer",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "datasets",
    "peft",
    "deepspeed",
    "pandas",
    "trl.trainer.dpo_trainer",
    "trl.trainer.reward_trainer",
    "trl.trainer.sft_trainer",
    "accelerate.commands.launch",
    "torch.distributed.run",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
)
AT_FIRST = dict(os.environ)  # a test may change it before the first process is asked for
# What the libraries read while they are loaded, as far as a test may change it.
SET_BY_LIBRARIES = {"TORCHINDUCTOR_CACHE_DIR", "TORCHINDUCTOR_COMPILE_THREADS"}
READ_AT_FIRST = ("CUDA_", "DS_", "HF_", "HOME", "OMP_", "PATH", "PYTHONHASHSEED", "TMPDIR", "TORCH", "WANDB_", "XDG_")


is_worth_it = False  # loading takes longer than what the fast tests start; `conftest` says otherwise


def can_run(words: Sequence[str], variables: Mapping[str, str]) -> bool:
    """Says whether a module or a script would find what it finds in a fresh interpreter with these variables."""
    changed = {name for name in variables.keys() | AT_FIRST.keys() if variables.get(name) != AT_FIRST.get(name)}
    return words[0] != "-c" and not any(name.startswith(READ_AT_FIRST) for name in changed - SET_BY_LIBRARIES)


def python() -> str:
    """Names the program that asks for a process."""
    return str(_started()[1])


def wait_for_the_killed() -> None:
    """Waits until no process runs whose program was killed: it is killed a moment later."""
    left = psutil.Process(_started()[0].pid).children()
    assert not psutil.wait_procs(left, timeout=20)[1]


@cache
def _started() -> tuple[subprocess.Popen[bytes], Path]:
    """Starts the process that is forked, and writes the program."""
    folder = Path(tempfile.mkdtemp(prefix="preloaded-"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        listening.listen(64)
        command, handle = [sys.executable, __file__, str(listening.fileno())], listening.fileno()
        server = subprocess.Popen(command, stdin=subprocess.PIPE, cwd="/", env=AT_FIRST, pass_fds=[handle])

    def end() -> None:
        server.stdin.close()
        server.wait()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    atexit.register(end)
    program = folder / "python"
    program.write_text(f"#!{sys.executable} -IS\n{CLIENT.read_text()}")  # a shell would set variables
    program.chmod(0o755)
    return server, program


def received(asking: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = asking.recv(size - len(found))
        if not more:
            raise EOFError
        found += more
    return found


class Server:
    """Forks a process for each that asks, says how it ended, and kills it when the one that asked is gone."""

    def __init__(self, handle: int) -> None:
        self._listening = socket.socket(fileno=handle)
        self._selector = selectors.DefaultSelector()
        self._asking: dict[int, tuple[socket.socket, int]] = {}  # the handle of a process: who asked, and its number

    def next_request(self) -> dict[str, object] | None:
        """Waits; returns what a new process is asked to run, in that process, and nothing at the end of the input."""
        self._selector.register(self._listening, selectors.EVENT_READ, self._fork)
        self._selector.register(sys.stdin, selectors.EVENT_READ, self._end)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == sys.stdin:
                    return self._end()
                if request := key.data():
                    return request

    def _fork(self) -> dict[str, object] | None:
        asking, _ = self._listening.accept()
        try:
            size, handles, _, _ = socket.recv_fds(asking, SIZE.size, 5)
            request = json.loads(received(asking, *SIZE.unpack(size)))
        except EOFError:
            asking.close()
            return None
        number = os.fork()
        if not number:
            self._leave(asking)
            os.setsid()
            for place, handle in enumerate(handles):
                if place < 3:
                    os.dup2(handle, place)
                elif ctypes.CDLL(None).setns(handle, 0) and os.geteuid() == 0:
                    raise OSError("the network or the name of the host that asks is out of reach")
                os.close(handle)
            importlib.reload(platform)  # it remembers the name of the host
            return request
        for handle in handles:
            os.close(handle)
        handle = os.pidfd_open(number)
        self._asking[handle] = asking, number
        asking.sendall(SIZE.pack(number))
        self._selector.register(handle, selectors.EVENT_READ, lambda: self._ended(handle))
        self._selector.register(asking, selectors.EVENT_READ, lambda: self._deserted(handle))
        return None

    def _ended(self, handle: int) -> None:
        asking, number = self._asking.pop(handle)
        _, status = os.waitpid(number, 0)
        self._forget(handle, asking)
        with suppress(OSError):  # the one that asked was killed meanwhile
            asking.sendall(SIZE.pack(os.waitstatus_to_exitcode(status)))
        asking.close()

    def _deserted(self, handle: int) -> None:
        if handle in self._asking:  # not in the same round as its end
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            self._selector.unregister(self._asking[handle][0])

    def _forget(self, handle: int, asking: socket.socket) -> None:
        self._selector.unregister(handle)
        os.close(handle)
        if asking.fileno() in self._selector.get_map():
            self._selector.unregister(asking)

    def _leave(self, asking: socket.socket) -> None:
        self._selector.close()
        self._listening.close()
        asking.close()
        for handle, (other, _) in self._asking.items():
            os.close(handle)
            other.close()

    def _end(self) -> None:
        for handle in self._asking:
            signal.pidfd_send_signal(handle, signal.SIGKILL)


def run(words: list[str], folder: str, variables: dict[str, str]) -> None:
    """Runs what `python WORDS` would run: a module or a script."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    while words[0] == "-u":
        del words[0]
    at_first, asked = (
        [path for path in named.get("PYTHONPATH", "").split(os.pathsep) if path] for named in (AT_FIRST, variables)
    )
    known = sys.path[1 + len(at_first) :]
    if words[0] == "-m":
        sys.path[:] = [folder, *asked, *known]
        sys.argv[:] = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[:] = [str(Path(words[0]).resolve().parent), *asked, *known]
        sys.argv[:] = words
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    waiting = Server(int(sys.argv[1]))
    for name in LOADED:
        if find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    if (asked_for := waiting.next_request()) is not None:
        del waiting
        run(**asked_for)
