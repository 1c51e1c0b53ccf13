"""The worker's side of `WorkerPool`: reads calls from one pipe, runs them in turn, writes each result to another."""

import fcntl
import os
import pickle
import select
import signal
import struct
import time
import traceback
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

LENGTH = struct.Struct("<Q")  # before every message, in both directions
START = (  # its first folder is where this package is: a `rewards.py` of the user's may stand before it
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from rewards.running.worker import serve; "
    "del sys.path[0]; serve(sys.argv[2:])"
)

RETURNED_COPY = 86  # exit code of a forked copy of a worker that came back from a call
TEXT_OF_ERROR = 1000  # characters
name_of_class = type.__dict__["__name__"].__get__  # also of a class whose own `__name__` raises
FULL_SHARE = 0.8  # of a worker's address space; what is left is too little for the calls to come

in_worker = False  # a reward with processes of its own needs none here
is_last_answer = False  # whether the worker ends after the call it is at, as one without memory does


def serve(arguments: list[str]) -> None:
    """Serves calls until the pool closes its pipe; the interpreter that `START` runs calls it.

    The first message is the function. Every later one is a list of calls; each result goes out as soon as it is
    there, so that the pool's clock starts when a call starts, and a killed worker loses one call. A worker that ran
    out of memory says so with its result and ends: it would fail on every later call. So does, without a word, one
    whose function closed its pipes.
    """
    global in_worker
    in_worker = True
    jobs, results, lifeline, memory_bytes = map(int, arguments)
    _die_with_parent(lifeline)
    _outlive_signals()
    if memory_bytes:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    try:
        _serve(jobs, results, memory_bytes)
    except OSError:
        os._exit(1)


def _serve(jobs: int, results: int, memory_bytes: int) -> None:
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
            _answer(results, func, call, memory_bytes)


def describe_error(error: BaseException) -> str:
    """Says what was raised and where."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    place = f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
    return f"{name_error(error)}{place}"


def name_error(error: BaseException) -> str:
    """Writes an error as its type and the beginning of its text, also one whose own text raises."""
    kind = name_of_class(type(error))
    try:
        text = str(error)
        more = "" if len(text) <= TEXT_OF_ERROR else f"... ({len(text):,} characters)"
        return f"{kind}{': ' if text else ''}{text[:TEXT_OF_ERROR]}{more}"
    except BaseException as other:
        return f"{kind}, whose text cannot be read: its `__str__` raised {name_of_class(type(other))}"


def end_if_copied(owner: int) -> None:
    """Ends a forked copy of the process `owner` that came back from a call: two would go on with one program."""
    if os.getpid() != owner:
        os._exit(RETURNED_COPY)


def _answer(results: int, func: Callable[[Any], Any], call: Any, memory_bytes: int) -> None:
    global is_last_answer
    owner, started = os.getpid(), time.perf_counter()
    try:
        outcome: tuple[str | None, Any] = None, func(call)
    except BaseException as error:  # `sys.exit()` in a reward is that call's error, not the worker's end
        end_if_copied(owner)
        outcome = "error", describe_error(error)
        is_last_answer = isinstance(error, MemoryError) or _is_full(memory_bytes)
    end_if_copied(owner)
    seconds = time.perf_counter() - started
    try:
        message = pickle.dumps((*outcome, seconds, is_last_answer), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # whatever pickling the user's value raises
        text = f"The result cannot be sent back: {name_error(error)}"
        message = pickle.dumps(("error", text, seconds, is_last_answer))
    write_message(results, message)
    if is_last_answer:
        os._exit(0)


def _is_full(memory_bytes: int) -> bool:
    """Tells whether the address space is nearly used up; native code says so with errors of its own."""
    if not memory_bytes or not os.path.exists("/proc/self/statm"):
        return False
    with open("/proc/self/statm", "rb") as file:
        pages = int(file.read().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE") > FULL_SHARE * memory_bytes


def _die_with_parent(lifeline: int) -> None:
    """Lets the kernel end this process and its children when the pool's process is gone, however it ended.

    The pool holds the only other end of `lifeline`. A thread that watches it would not run while a regular expression
    holds the interpreter, and the death signal of Linux follows the thread that started the process.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)  # SIGIO ends a process
    if select.select([lifeline], [], [], 0)[0]:  # the pool went before the line above
        os._exit(1)


def _outlive_signals() -> None:
    """Lets the pool's process decide what an end that is sent to all processes of a job means.

    Slurm and systemd send it to the workers, too, while a run still makes its step and saves: its rows would be lost.
    Programs that a call starts get the signals as before, and so do copies of this process.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before = signal.signal(number, _go_on)
            os.register_at_fork(after_in_child=partial(signal.signal, number, before))


def _go_on(number: int, frame: FrameType | None) -> None:
    """Does nothing; unlike an ignored signal, a handler is not inherited by other programs."""


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
    """Writes a message with its length in front; raises `BrokenPipeError` if nobody reads any more."""
    rest = memoryview(LENGTH.pack(len(message)) + message)
    while rest:
        rest = rest[os.write(pipe, rest) :]
