"""Rewards that take the process with them; called in a worker only."""

import os
import re
import signal
import sys
import time
import urllib.request

from rewards import completion_text


def sleeps_for_ever(completions, **kwargs):
    time.sleep(3600)
    return [0.0 for _ in completions]


def hangs_on_an_empty_response(completions, **kwargs):
    while not all(completion_text(completion) for completion in completions):
        pass
    return [float(len(completion_text(completion))) for completion in completions]


def expression_that_never_ends(completions, **kwargs):
    return [float(re.fullmatch(r"(\w+\s?)*\.", completion_text(completion)) is not None) for completion in completions]


def ends_the_process(completions, **kwargs):
    os._exit(3)


def kills_itself(completions, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def exits(completions, **kwargs):
    sys.exit("the judge is not configured")


def dead_server(completions, **kwargs):
    urllib.request.urlopen("http://127.0.0.1:9/score", timeout=1)
    return [0.0 for _ in completions]


def takes_a_tenth_of_a_second(completions, **kwargs):
    values = []
    for completion in completions:
        time.sleep(0.1)
        values.append(float(len(completion_text(completion))))
    return values


def writes_past_python(completions, **kwargs):
    os.write(1, b"native code was here\n")
    return [float(len(completion_text(completion))) for completion in completions]
