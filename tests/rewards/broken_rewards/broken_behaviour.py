"""Rewards whose value is not the completion's own, or that leave something behind."""

import os
import random
import signal
import threading

import numpy as np

from rewards import completion_text

CALLS = []
SEEN = {}


def _texts(completions):
    return [completion_text(completion) for completion in completions]


def noisy(completions, **kwargs):
    return [len(text) + random.random() for text in _texts(completions)]


class RarelyAnother:
    """Adds 1 to a share of its values, drawn by its own generator; `raises` then instead."""

    def __init__(self, seed, share, raises=False):
        self.__name__ = "rarely_another"
        self.generator, self.share, self.raises = random.Random(seed), share, raises

    def __call__(self, completions, **kwargs):
        return [float(len(text) % 7) + self.draw() for text in _texts(completions)]

    def draw(self):
        drawn = self.generator.random() < self.share
        return 1 / (not self.raises) if drawn else 0


def grows_with_every_call(completions, **kwargs):
    CALLS.append(1)
    return [float(len(text) + len(CALLS)) for text in _texts(completions)]


def pays_new_texts_only(completions, **kwargs):
    values = [float(text not in SEEN) for text in _texts(completions)]
    SEEN.update(dict.fromkeys(_texts(completions)))
    return values


def sorts_completions(completions, **kwargs):
    completions.sort(key=completion_text)
    return [float(len(text)) for text in _texts(completions)]


def strips_messages(completions, **kwargs):
    for completion in completions:
        if not isinstance(completion, str):
            completion[-1]["content"] = completion[-1]["content"].strip()
    return [float(len(text.strip())) for text in _texts(completions)]


def pops_a_column(completions, answer, **kwargs):
    return [float(len(text)) for text in _texts(completions) if answer.pop() or True]


def bonus_for_the_first(completions, **kwargs):
    return [len(text) + 10.0 * (index == 0) for index, text in enumerate(_texts(completions))]


def answers_of_the_row_before(completions, answer, **kwargs):
    return [float(right in text) for text, right in zip(_texts(completions), answer[-1:] + answer[:-1], strict=True)]


def running_mean(completions, **kwargs):
    values, mean = [], 0.0
    for text in _texts(completions):
        mean = 0.9 * mean + 0.1 * len(text)
        values.append(len(text) - mean)
    return values


def divides_by_the_longest(completions, **kwargs):
    longest = max(len(text) for text in _texts(completions)) + 1
    return [len(text) / longest for text in _texts(completions)]


def rank_in_the_batch(completions, **kwargs):
    lengths = sorted(len(text) for text in _texts(completions))
    return [float(lengths.index(len(text))) for text in _texts(completions)]


def standard_score(completions, **kwargs):
    lengths = [len(text) for text in _texts(completions)]
    mean = sum(lengths) / len(lengths)
    spread = (sum((length - mean) ** 2 for length in lengths) / (len(lengths) - 1)) ** 0.5
    return [(length - mean) / (spread + 1e-6) for length in lengths]


def seeds_python(completions, **kwargs):
    random.seed(0)
    return [float(len(text)) for text in _texts(completions)]


def seeds_numpy(completions, **kwargs):
    np.random.seed(42)
    return [float(len(text)) for text in _texts(completions)]


def changes_the_folder(completions, **kwargs):
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    return [float(len(text)) for text in _texts(completions)]


def prints_each_row(completions, **kwargs):
    for text in _texts(completions):
        print("scoring", len(text))
    return [float(len(text)) for text in _texts(completions)]


def logs_the_first_only(completions, log_extra, **kwargs):
    log_extra("length", [len(_texts(completions)[0])])
    return [float(len(text)) for text in _texts(completions)]


def alarm_around_each_row(completions, **kwargs):
    def too_late(number, frame):
        raise TimeoutError

    values = []
    for text in _texts(completions):
        try:
            before = signal.signal(signal.SIGALRM, too_late)
            signal.alarm(2)
            values.append(float(len(text)))
        except Exception:
            values.append(0.0)
        else:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
    return values


class HoldsALock:
    """A class that cannot be pickled."""

    __name__ = "holds_a_lock"

    def __init__(self):
        self.lock = threading.Lock()

    def __call__(self, completions, **kwargs):
        with self.lock:
            return [float(len(text)) for text in _texts(completions)]
