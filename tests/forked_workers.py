"""Workers of xdist are copies of one process that has what tests import; each took ten seconds to import it itself."""

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pkgutil import walk_packages

import tree
from execnet.gateway_base import Popen2IO

# Beside what trainers are made of, which `align` does not import by itself.
LIBRARIES = ["linearmodels", "reasoning_gym", "scipy.optimize", "scipy.stats", "sklearn.linear_model"]
LIBRARIES += ["sklearn.metrics", "statsmodels.api", "torch.testing", "hypothesis.strategies", "pytest"]


class Template:
    """A process that copies itself, for each worker that execnet asks for."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        code = f"import json, sys; sys.path[:] = json.loads({json.dumps(sys.path)!r}); "
        code += f"import forked_workers; forked_workers.serve({theirs.fileno()})"
        self.process = subprocess.Popen([sys.executable, "-u", "-c", code], pass_fds=[theirs.fileno()])
        theirs.close()

    def create_io(self, spec, execmodel):
        return Copy(self.socket, execmodel)

    def close(self) -> None:
        """Lets it end, which it does behind its copies."""
        self.socket.close()
        self.process.wait()


class Copy(Popen2IO):
    """What execnet talks to a copy through, as to a process that it started."""

    def __init__(self, template, execmodel) -> None:
        (stdin, to_copy), (from_copy, stdout) = os.pipe(), os.pipe()
        socket.send_fds(template, [b"1"], [stdin, stdout])
        self.pid = int.from_bytes(template.recv(4), "big")
        self.ended = os.pidfd_open(self.pid)
        os.close(stdin)
        os.close(stdout)
        super().__init__(os.fdopen(to_copy, "wb"), os.fdopen(from_copy, "rb"), execmodel=execmodel)

    def wait(self) -> None:
        select.select([self.ended], [], [])

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def load() -> None:
    """Imports what most workers would, and parses what the tests of places and of imports read."""
    from align.training.imports import load_libraries

    load_libraries(without_vllm=True)
    packages = {name: import_module(name) for name in ("align", "rewards")}
    modules = [each.name for name, package in packages.items() for each in walk_packages(package.__path__, f"{name}.")]
    for name in LIBRARIES + modules:
        with suppress(Exception):  # an extra that is absent; else the tests of a worker fail by it
            import_module(name)
    for module in tree.MODULES:
        with suppress(SyntaxError):
            _ = module.all


def serve(number: int) -> None:
    """Answers each two pipes with a copy that reads and writes them, until nobody is there to ask."""
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the copies
    gc.disable()  # imports make no garbage
    load()
    gc.enable()
    gc.freeze()
    with socket.socket(fileno=number) as asked:
        while pipes := socket.recv_fds(asked, 1, 2)[1]:
            pid = os.fork()
            if not pid:
                break
            for pipe in pipes:
                os.close(pipe)
            asked.sendall(pid.to_bytes(4, "big"))
    if not pipes:
        with suppress(ChildProcessError):
            while os.wait():
                pass
        os._exit(0)
    signal.signal(signal.SIGINT, interrupted)
    for stream, pipe in enumerate(pipes):
        os.dup2(pipe, stream)
        os.close(pipe)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    exec(eval(sys.stdin.readline()), vars(sys.modules["__main__"]))  # as execnet begins with a process
    atexit._run_exitfuncs()
    os._exit(0)  # taking all of it down would take seconds
