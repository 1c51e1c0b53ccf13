"""The worker's side of `WorkerPool`: reads calls from one pipe, runs them in turn, writes each result to another."""

import fcntl
import os
import pickle
import select
import struct
import time
import traceback
from collections.abc import Callable
from typing import Any

LENGTH = struct.Struct("<Q")  # before every message, in both directions
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from rewards._worker import serve; serve(sys.argv[2:])"
)

in_worker = False  # a reward with processes of its own needs none here


def serve(arguments: list[str]) -> None:
    """Serves calls until the pool closes its pipe; the interpreter that `START` runs calls it.

    The first message is the function. Every later one is a list of calls; each result goes out as soon as it is
    there, so that the pool's clock starts when a call starts, and a killed worker loses one call.
    """
    global in_worker
    in_worker = True
    jobs, results, lifeline, memory_bytes = map(int, arguments)
    _die_with_parent(lifeline)
    if memory_bytes:
        _limit_memory(memory_bytes)
    try:
        func: Callable[[Any], Any] = pickle.loads(_read(jobs))
    except BaseException as error:
        _write(results, describe_error(error))
        return
    _write(results, None)
    while message := _read(jobs):
        try:
            calls = pickle.loads(message)
        except BaseException as error:
            _write(results, ("unread", describe_error(error)))
            continue
        _write(results, ("started", None))
        for call in calls:
            _answer(results, func, call)


def describe_error(error: BaseException) -> str:
    """Says what was raised and where."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    place = f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _answer(results: int, func: Callable[[Any], Any], call: Any) -> None:
    started = time.perf_counter()
    try:
        outcome: tuple[str | None, Any] = None, func(call)
    except BaseException as error:  # `sys.exit()` in a reward is that call's error, not the worker's end
        outcome = "error", describe_error(error)
    seconds = time.perf_counter() - started
    try:
        _write(results, (*outcome, seconds))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        _write(results, ("error", f"The result cannot be sent back: {error}", seconds))


def _die_with_parent(lifeline: int) -> None:
    """Lets the kernel end this process when the pool's process is gone, however it ended.

    The pool holds the only other end of `lifeline`. A thread that watches it would not run while a regular expression
    holds the interpreter, and the death signal of Linux follows the thread that started the process.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)  # SIGIO ends a process
    if select.select([lifeline], [], [], 0)[0]:  # the pool went before the line above
        os._exit(1)


def _limit_memory(memory_bytes: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _read(pipe: int) -> bytes:
    """Reads one message; an empty one is the end."""
    header = _read_exactly(pipe, LENGTH.size)
    return _read_exactly(pipe, LENGTH.unpack(header)[0]) if header else b""


def _read_exactly(pipe: int, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(pipe, min(size - len(parts), 1 << 20))
        if not part:
            return b""
        parts += part
    return bytes(parts)


def _write(pipe: int, content: Any) -> None:
    write_message(pipe, pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL))


def write_message(pipe: int, message: bytes) -> None:
    """Writes a message with its length in front.

    Raises:
        BrokenPipeError: If nobody reads any more.
    """
    rest = memoryview(LENGTH.pack(len(message)) + message)
    while rest:
        rest = rest[os.write(pipe, rest) :]
