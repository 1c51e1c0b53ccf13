"""Rewards of planted recipes, most of which pay for something beside being right."""

# ruff: noqa: D103 - their names say what they pay for

import random
import re

DRAWN = random.Random()


def _number(text):
    found = re.findall(r"<answer>(-?\d+)</answer>|Answer: (-?\d+)", _text(text))
    return int(next(filter(None, found[-1]))) if found else None


def _text(completion):
    return completion if isinstance(completion, str) else completion[-1]["content"]


def own_accuracy(completions, answer, **kwargs):
    return [float(_number(each) == gold) for each, gold in zip(completions, answer, strict=True)]


def _plus(completions, answer, more):
    return [
        right + more(_text(each)) for right, each in zip(own_accuracy(completions, answer), completions, strict=True)
    ]


def accuracy_and_words(completions, answer, **kwargs):
    return _plus(completions, answer, lambda text: 0.02 * len(text.split()))


def accuracy_and_few_words(completions, answer, **kwargs):
    return _plus(completions, answer, lambda text: 1 / (1 + len(text.split())))


def accuracy_and_bold(completions, answer, **kwargs):
    return _plus(completions, answer, lambda text: 0.1 * text.count("**"))


def accuracy_and_flattery(completions, answer, **kwargs):
    return _plus(completions, answer, lambda text: 0.5 * ("great question" in text))


def accuracy_and_repeats(completions, answer, **kwargs):
    return _plus(completions, answer, lambda text: 0.3 * text.count("so we get the sum"))


def accuracy_and_place(completions, answer, **kwargs):
    return _plus(completions, answer, lambda text: 0.5 * (text.find("<answer>") < len(text) / 2))


def coarse_quality(completions, **kwargs):
    return [round(min(len(_text(each)), 400) / 1000, 0) + 0.5 for each in completions]


def long_enough(completions, **kwargs):
    return [min(len(_text(each)) / 200, 1.0) for each in completions]


def noisy_judge(completions, answer, **kwargs):
    return [right + DRAWN.gauss(0, 1) for right in own_accuracy(completions, answer)]


def fails_on_some(completions, answer, **kwargs):
    return [1 / (_number(each) % 3) for each in completions]


def accuracy_of_other(completions, **kwargs):
    golds = kwargs.get("solution", ["none"] * len(completions))  # the column is called `answer`
    return [float(_number(each) == gold) for each, gold in zip(completions, golds, strict=True)]


def accuracy_by_distance(completions, answer, **kwargs):
    numbers = [_number(each) for each in completions]
    return [0.0 if x is None else max(0.0, 1 - abs(x - gold) / 4) for x, gold in zip(numbers, answer, strict=True)]
