"""Rewards put together from sound and broken parts, as the text of a Python file."""

import random
from typing import NamedTuple

PRELUDE = """\
import asyncio, builtins, decimal, gc, os, random, signal, sys, threading, time
import numpy


class NoText(Exception):
    def __str__(self):
        raise ValueError("no text")


class Hostile(float):
    def __repr__(self):
        raise RuntimeError

    def __float__(self):
        raise NoText


class NoList:
    def __iter__(self):
        raise NoText

    def __len__(self):
        return 3


def throw(error):
    raise error


def deeper(value):
    return deeper([value])


def text_of(completion):
    return completion if isinstance(completion, str) else completion[-1]["content"]
"""
TAKES = [
    "completions, **kwargs",
    "prompts, completions, **kwargs",
    "*, completions, **rest",
    "completions, answer, **kwargs",
]
TAKES += ["prompts, completions, completion_ids, trainer_state=None, **kwargs", "completions, log_metric, **kwargs"]
BROKEN_TAKES = ["completions", "completions, /, **kwargs", "completion, **kwargs", "completions, anwser, **kwargs", ""]
BROKEN_TAKES += ["*args", "completions, *, answer", "self, completions, **kwargs", "texts, **kwargs"]
SCORES = ["float(len(text))", "len(set(text)) / (1 + len(text))", "'answer' in text", "text.count('4')"]
SCORES += ["numpy.float32(len(text))", "None if len(text) % 7 == 1 else 0.5", "-len(text)", "numpy.bool_('4' in text)"]
BROKEN_SCORES = ["float('nan')", "float('inf')", "'1.0'", "[1.0]", "1j", "object()", "10**5000", "{}", "text", "b'1'"]
BROKEN_SCORES += ["numpy.ones(1)", "1 / 0", "text[10**6]", "int('x')", "(_ for _ in ())", "Hostile()", "float", "1e39"]
BROKEN_SCORES += ["decimal.Decimal('sNaN')", "numpy.datetime64('2020')", "deeper(1)", "eval('(' * 5000)", "await_()"]
BROKEN_SCORES += [
    f"throw({error})"
    for error in (
        "NoText()", "SystemExit(3)", "KeyError('\\x1b[2J')", "KeyError(NoText())", "MemoryError()", "StopIteration()",
        "GeneratorExit()", "UnicodeDecodeError('utf-8', b'x', 0, 1, '\\ud800')", "ExceptionGroup('g', [NoText()])",
        "BaseException('b')", "Warning()", "ValueError('x' * 10**6)", "ValueError('a\\nb\\u200b')", "OSError(2, 'x')",
        "AssertionError()", "asyncio.CancelledError()", "TimeoutError()", "type('É', (Exception,), {})()",
    )
]  # fmt: skip
RETURNS = ["scores", "tuple(scores)", "numpy.array(scores, dtype=object)", "(score for score in scores)"]
BROKEN_RETURNS = ["scores[1:]", "scores + [0.0]", "set(scores)", "dict(enumerate(scores))", "scores[0]", "str(scores)"]
BROKEN_RETURNS += [
    "None",
    "numpy.array(3.0)",
    "numpy.ones((len(scores), 2))",
    "NoList()",
    "[scores]",
    "iter(())",
    "len",
]
BROKEN_RETURNS += ["asyncio.sleep(0)", "(throw(NoText()) for _ in scores)", "Hostile()"]
DEEDS = ["pass", "print(text[:20])", "kwargs = {}", "text = text.lower()"]
BROKEN_DEEDS = ["completions.clear()", "completions.pop()", "completions[0] = 'x'", "del completions[:2]"]
# Deeds and scores that a process does not survive, or that change it.
WILD = [
    "time.sleep(3600)", "os._exit(3)", "os.kill(os.getpid(), 9)", "os.fork()", "os.closerange(3, 64)",
    "sys.stdout = None",
    "sys.stdout.close()", "os.close(1)", "os.chdir('/')", "while True: pass", "signal.alarm(1)", "gc.disable()",
    "threading.Thread(target=time.sleep, args=(60,)).start()", "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "held = bytearray(2**36)", "builtins.len = None", "sys.modules.clear()", "os.setsid()",
    "sys.setrecursionlimit(90)",
    "throw(KeyboardInterrupt())", "print('x' * 10**7)", "os.write(1, b'\\xff\\x1b[2J' * 100)", "random.seed(0)",
    "numpy.random.seed(0)", "os.environ.clear()", "signal.raise_signal(signal.SIGINT)", "os.abort()",
    "sys.path.clear()",
    "signal.raise_signal(signal.SIGSTOP)", "list(iter(int, 1))", "numpy.seterr(all='raise')", "sys.excepthook = None",
    "time.time = None", "os.umask(0o777)", "import pickle; pickle.dumps = None", "sys.stderr.close()", "os.nice(19)",
]  # fmt: skip
ON = ["True", "True", "'7' in text", "len(text) > 200", "not text", "'\\u200b' in text"]


class Drawn(NamedTuple):
    """A reward function in a file.

    Attributes:
        source: The text of the function.
        is_broken: Whether one of its parts breaks the contract at every call.
        is_sound: Whether every part keeps it.
    """

    source: str
    is_broken: bool
    is_sound: bool


def draw_reward(rng: random.Random, name: str, *, wild: bool = False) -> Drawn:
    """Draws a reward of which no part is broken, or one, or two."""
    broken = {part for part in ("takes", "score", "returns", "deed") if rng.random() < 0.2}
    takes = rng.choice(BROKEN_TAKES if "takes" in broken else TAKES)
    score = rng.choice(BROKEN_SCORES if "score" in broken else SCORES)
    returns = rng.choice(BROKEN_RETURNS if "returns" in broken else RETURNS)
    deed = rng.choice(WILD if wild else BROKEN_DEEDS if "deed" in broken else DEEDS)
    on_score, on_deed = rng.choice(ON), rng.choice(ON)
    start = "async def" if rng.random() < 0.15 else "def"
    source = f"""
{start} {name}({takes}):
    scores = []
    for completion in completions:
        text = text_of(completion)
        if {on_deed}:
            {deed}
        scores.append(({score}) if {on_score} else {rng.choice(SCORES)})
    return {returns}
"""
    always = {"takes", "returns"} & broken or ("score" in broken and on_score == "True")
    return Drawn(source, bool(always), not broken and not wild)
