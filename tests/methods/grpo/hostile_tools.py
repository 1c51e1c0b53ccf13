"""Tools and environments that misbehave, each by a word; what becomes of each is in `OUTCOMES`."""

import builtins
import ctypes
import itertools
import os
import random
import re
import signal
import sys
import threading
import time


class Odd:
    """A value whose pickling and text raise."""

    def __reduce__(self):
        raise RuntimeError("no")

    def __str__(self):
        raise RuntimeError("no text")


class Ending(BaseException):
    """An error that `except Exception` lets pass."""


def hang():
    time.sleep(600)


def hold():
    re.match(r"(a+)+$", "a" * 60 + "b")  # holds the interpreter: no thread of the process runs meanwhile


def outlive():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, lambda *_: None)
    time.sleep(600)


def fork_bomb():
    for _ in range(6):  # 64 processes
        os.fork()
    time.sleep(600)


def fork():
    os.fork()
    return "forked"


def flood():
    return "x" * 50_000_000


def print_much():
    for _ in range(2_000):
        os.write(1, b"")
    return "printed"


def change_globals():
    os.chdir("/")
    os.environ.clear()
    sys.path.clear()
    sys.modules.pop("random")
    builtins.print = None
    random.random = lambda: 0
    return "changed"


def close_descriptors():
    os.closerange(3, 4096)
    return "closed"


def garble():
    for pipe in range(3, 256):
        try:
            os.write(pipe, b"\x03\0\0\0\0\0\0\0abc")
        except OSError:
            continue
    return "garbled"


def read_input():
    return input("?")


def recurse():
    return recurse()


def leave_threads():
    for _ in range(20):
        threading.Thread(target=time.sleep, args=(600,)).start()
    return "left"


def delete_itself():
    os.remove(__file__)
    return "deleted"


def raise_it(error):
    raise error


def interrupt():
    signal.raise_signal(signal.SIGKILL)


ACTS = {
    "hang": hang,
    "hold": hold,
    "outlive": outlive,
    "fork_bomb": fork_bomb,
    "fork": fork,
    "flood": flood,
    "print_much": print_much,
    "change_globals": change_globals,
    "close_descriptors": close_descriptors,
    "garble": garble,
    "read_input": read_input,
    "recurse": recurse,
    "leave_threads": leave_threads,
    "delete_itself": delete_itself,
    "kill": interrupt,
    "exit": lambda: os._exit(3),
    "sys_exit": lambda: sys.exit("bye"),
    "base_exception": lambda: raise_it(Ending("over")),
    "keyboard": lambda: raise_it(KeyboardInterrupt()),
    "segfault": lambda: ctypes.string_at(0),
    "memory": lambda: bytearray(9 * 2**30),
    "endless_join": lambda: b"".join(bytes(10**8) for _ in itertools.count()),
    "generator": itertools.count,
    "surrogates": lambda: "a \ud800 b",
    "bytes": lambda: b"\xff\xfe",
    "odd": Odd,
    "nothing": lambda: None,
    "secret": lambda: f"the key is {os.environ['HOSTILE_API_KEY']}",
    "long_error": lambda: raise_it(ValueError("y" * 100_000)),
    "nan": lambda: float("nan"),
    "echo": lambda: "echo",
}
LATE = "no result after 1 s"
# What the model is shown: a result, or the failure of the call and its text.
OUTCOMES = {
    "hang": ("timeout", LATE),
    "hold": ("timeout", LATE),
    "outlive": ("timeout", LATE),
    "fork_bomb": ("timeout", LATE),
    "fork": (None, "forked"),
    "flood": (None, "xxx ... (50,000,000 characters)"),
    "print_much": (None, "printed"),
    "change_globals": (None, "changed"),
    "close_descriptors": ("died", "its process ended with exit code 1"),
    "garble": ("died", "it was stopped"),
    "read_input": ("error", "EOFError: EOF when reading a line"),
    "recurse": ("error", "RecursionError: maximum recursion depth exceeded"),
    "leave_threads": (None, "left"),
    "delete_itself": (None, "deleted"),
    "kill": ("died", "its process was ended by SIGKILL"),
    "exit": ("died", "its process ended with exit code 3"),
    "sys_exit": ("error", "SystemExit: bye"),
    "base_exception": ("error", "Ending: over"),
    "keyboard": ("error", "KeyboardInterrupt"),
    "segfault": ("died", "its process was ended by SIGSEGV"),
    "memory": ("error", "MemoryError"),
    "endless_join": ("error", "MemoryError"),
    "generator": (None, "count(0)"),
    "surrogates": (None, "a ? b"),
    "bytes": (None, "b'\\xff\\xfe'"),
    "odd": ("error", "RuntimeError: no text"),
    "nothing": (None, "None"),
    "secret": (None, "the key is "),
    "long_error": ("error", "(100,000 characters)"),
    "nan": (None, "nan"),
}


def act(word: str) -> str:
    """Does what a word says.

    Args:
        word: Which.
    """
    return ACTS[word]()


class Hostile:
    """An environment whose rewards and beginnings misbehave by the word of the row."""

    def reset(self, word="", begins="nothing", **row):
        self.word = word
        return ACTS[begins]()

    def act(self, word: str) -> str:
        """Does what a word says.

        Args:
            word: Which.
        """
        return ACTS[word]()

    def get_reward(self):
        return ACTS[self.word]()
