"""Rewards that return what TRL cannot use."""

import asyncio
import decimal
import math

import numpy as np

from rewards import completion_text


def _texts(completions):
    return [completion_text(completion) for completion in completions]


def no_return(completions, **kwargs):
    [len(text) for text in _texts(completions)]


def mean_of_the_batch(completions, **kwargs):
    return sum(map(len, _texts(completions))) / len(completions)


def as_text(completions, **kwargs):
    return " ".join(str(len(text)) for text in _texts(completions))


def scores_by_text(completions, **kwargs):
    return {text: float(len(text)) for text in _texts(completions)}


def as_set(completions, **kwargs):
    return {float(len(text)) for text in _texts(completions)}


def skips_what_it_cannot_read(completions, **kwargs):
    return [1.0 for text in _texts(completions) if "<answer>" in text]


def one_too_many(completions, **kwargs):
    return [0.0] + [float(len(text)) for text in _texts(completions)]


def strings(completions, **kwargs):
    return [str(len(text)) for text in _texts(completions)]


def dicts(completions, **kwargs):
    return [{"score": len(text), "reason": "length"} for text in _texts(completions)]


def lists(completions, **kwargs):
    return [[float(len(text))] for text in _texts(completions)]


def column_vector(completions, **kwargs):
    return np.array([[float(len(text))] for text in _texts(completions)])


def complex_numbers(completions, **kwargs):
    return [complex(len(text), 1) for text in _texts(completions)]


def nan_without_answer(completions, **kwargs):
    return [1.0 if "<answer>" in text else float("nan") for text in _texts(completions)]


def log_of_zero(completions, **kwargs):
    with np.errstate(divide="ignore"):
        return list(np.log([float("42" in text) for text in _texts(completions)]))


def beyond_float32(completions, **kwargs):
    return [math.factorial(200) if "<answer>" in text else 0 for text in _texts(completions)]


def coroutine_from_a_plain_function(completions, **kwargs):
    async def score():
        return [float(len(text)) for text in _texts(completions)]

    coroutine = score()
    coroutine.close()
    return coroutine


async def awaited_and_too_short(completions, **kwargs):
    await asyncio.sleep(0)
    return [1.0]


def tag_that_no_row_has(completions, answer, task=None, **kwargs):
    tasks = task or ["math"] * len(completions)
    return [
        float(r in t) if k == "coding" else None for t, r, k in zip(_texts(completions), answer, tasks, strict=True)
    ]


def silent_mostly(completions, answer, **kwargs):
    return [
        float(len(text)) if right == "first" else None for text, right in zip(_texts(completions), answer, strict=True)
    ]


class HostileFloat(float):
    """A number that cannot be read, nor written."""

    def __float__(self):
        raise RuntimeError("not yet")

    def __repr__(self):
        raise RuntimeError("not yet")

    def __eq__(self, other):
        raise RuntimeError("not yet")

    __hash__ = None


def hostile_floats(completions, **kwargs):
    return [HostileFloat(len(text)) for text in _texts(completions)]


def integers_of_many_digits(completions, **kwargs):
    return [10**5000 for _ in completions]


def decimal_nan(completions, **kwargs):
    return [decimal.Decimal("nan") for _ in completions]


def generator_that_raises(completions, **kwargs):
    yield 1.0
    raise RuntimeError("\x1b[31mred\x07\u200b")
