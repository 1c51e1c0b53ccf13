"""Functions that misbehave on request, found by worker processes; and rewards that do so on some completions."""

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import subprocess
import time
import urllib.request


def act(order):
    """Does what one word says, with an optional argument."""
    word, _, argument = order.partition(" ")
    return ACTS[word](argument)


def _allocate(gigabytes):
    return len(bytearray(int(float(gigabytes) * 2**30)))


def _backtrack(_):
    return re.match(r"(a+)+$", "a" * 60 + "b")  # holds the interpreter: no thread of the process runs meanwhile


def _poll(_):
    """Waits for a file to change, as one that looks up an address again and again does."""
    while True:
        with open(__file__, "rb") as file:
            file.read(1000)
        time.sleep(0.05)


def _fork(_):
    os.fork()  # and both go on
    return "forked"


def _fill(gigabytes):
    """Fills the memory for good, as a cache does that is never emptied."""
    while True:
        HELD.append(bytearray(int(float(gigabytes) * 2**30)))


def _fill_natively(gigabytes):
    try:
        _fill(gigabytes)
    except MemoryError:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory") from None


class NoName(type):
    """A kind of class whose name raises."""

    @property
    def __name__(cls):
        raise ValueError("no name")


class NoText(Exception, metaclass=NoName):
    """An error whose text raises."""

    def __str__(self):
        raise ValueError("no text")


class Unsendable:
    """A value whose pickling raises what no value should."""

    def __reduce__(self):
        raise NoText


def _raise_without_text(_):
    raise NoText


def _interrupt(_):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that started the tests may have it ignored
    signal.raise_signal(signal.SIGINT)


def _start_a_stray(path):
    """Starts a process that leaves the worker's group and session, and lives on."""
    stray = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    with open(path, "a") as file:
        file.write(f"{stray.pid}\n")


def _write_into_pipes(_):
    for pipe in range(3, 1024):  # they have the numbers that they had in the process of the pool
        with contextlib.suppress(OSError):
            os.write(pipe, b"\x03\0\0\0\0\0\0\0abc")
    return "written"


def _log_and_sleep(path):
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(3600)


HELD = []
ACTS = {
    "echo": str,
    "sleep": lambda seconds: time.sleep(float(seconds)) or "slept",
    "raise": lambda text: int(text),
    "exit": lambda code: os._exit(int(code)),
    "sys.exit": lambda code: exit(int(code)),
    "segfault": lambda _: ctypes.string_at(0),
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "allocate": _allocate,
    "backtrack": _backtrack,
    "pid": lambda _: os.getpid(),
    "log_and_sleep": _log_and_sleep,
    "lambda": lambda _: lambda: 0,
    "poll": _poll,
    "fork": _fork,
    "fill": _fill,
    "fill_natively": _fill_natively,
    "hash": hash,
    "no_text": _raise_without_text,
    "unsendable": lambda _: Unsendable(),
    "stray": _start_a_stray,
    "close_pipes": lambda _: os.closerange(3, 4096),
    "garble": _write_into_pipes,
    "abort": lambda _: os.abort(),
    "interrupt": _interrupt,
    "rank": lambda _: os.environ.get("RANK", "none"),
}


def spin(seconds):
    """Computes for some seconds of CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return 1.0


def unruly(completions, **kwargs):
    """Rewards length, and misbehaves on the completions that ask for it."""
    return [_reward(text) for text in completions]


def batch_rank(completions, log_extra=None, log_metric=None, **kwargs):
    """Ranks the completions of the batch by length: a row's reward depends on the others."""
    order = sorted(completions, key=len)
    return [float(order.index(text)) for text in completions]


batch_rank.whole_batch = True


def logging_reward(completions, log_extra, log_metric, trainer_state, **kwargs):
    """Logs a column, a number and the step."""
    log_extra("shout", [text.upper() for text in completions])
    log_metric("own/length", sum(map(len, completions)) / len(completions))
    return [float(trainer_state.global_step) for _ in completions]


async def patient(completions, **kwargs):
    """Waits as long as each completion says; all of them at once."""

    async def wait(text):
        if text.startswith("sleep"):
            await asyncio.sleep(float(text.split()[1]))
        return _reward(text) if not text.startswith("sleep") else 1.0

    return await asyncio.gather(*map(wait, completions))


def judge(completions, address="", **kwargs):
    """Asks an HTTP judge without a limit of its own."""
    return [float(urllib.request.urlopen(address[i]).read()) for i, _ in enumerate(completions)]


def _reward(text):
    values = {"nan": float("nan"), "inf": float("inf"), "text": "1.0", "none": None, "list": [1.0]}
    if text in values:
        return values[text]
    if text.partition(" ")[0] in ACTS:
        act(text)
    return float(len(text))
