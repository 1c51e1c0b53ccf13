"""Rewards that are fine, some of them only just."""

import asyncio
import json
import os
import random
import re
import subprocess
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rewards import completion_text, parse_choice, parse_response

HELPERS = []
PROGRAMS = []


def _texts(completions):
    return [completion_text(completion) for completion in completions]


def exact_answer(completions, answer, **kwargs):
    return [float(parse_response(t).answer == str(r)) for t, r in zip(_texts(completions), answer, strict=True)]


def right_option(completions, options, answer, **kwargs):
    given = [
        parse_choice(parse_response(text).answer, row) for text, row in zip(_texts(completions), options, strict=True)
    ]
    return [float(choice == right) for choice, right in zip(given, answer, strict=True)]


def as_array(completions, **kwargs):
    return np.array([len(text) for text in _texts(completions)], dtype=np.float32)


def as_generator(completions, **kwargs):
    return (len(text) > 20 for text in _texts(completions))


def penalty_for_length(completion_ids, **kwargs):
    return [-min(1.0, len(ids) / 1000) for ids in completion_ids]


async def awaited(completions, **kwargs):
    await asyncio.sleep(0)
    return [1.0 / (1 + len(text)) for text in _texts(completions)]


def with_a_generator_of_its_own(completions, **kwargs):
    return [random.Random(text).random() for text in _texts(completions)]


def none_where_it_has_nothing_to_say(completions, answer, **kwargs):
    return [
        None if len(text) > 1000 else float(parse_response(text).answer == right)
        for text, right in zip(_texts(completions), answer, strict=True)
    ]


def logs_what_it_read(completions, log_extra=None, log_metric=None, trainer_state=None, **kwargs):
    if log_extra is not None:
        log_extra("length", [len(text) for text in _texts(completions)])
        log_metric("longest", float(max(map(len, _texts(completions)))))
    return [len(text) / (100 + len(text)) for text in _texts(completions)]


def shorter_than_the_others(completions, **kwargs):
    mean = sum(map(len, _texts(completions))) / len(completions)
    return [float(len(text) <= mean) for text in _texts(completions)]


shorter_than_the_others.whole_batch = True


def length_as_rendered(completions, **kwargs):
    return [len(c) / 100 if isinstance(c, str) else (len(c[0]["content"]) + 12) / 100 for c in completions]


length_as_rendered.renders_messages = True


class Scaled:
    """A class with settings."""

    __name__ = "scaled"

    def __init__(self, scale=2.0):
        self.scale = scale

    def __call__(self, completions, **kwargs):
        return [self.scale * len(text) for text in _texts(completions)]


def make_scaled(scale=3.0):
    def closure(completions, **kwargs):
        return [scale * len(text) for text in _texts(completions)]

    return closure


def starts_helpers_once(completions, **kwargs):
    if not HELPERS:
        HELPERS.append(ThreadPoolExecutor(2))
    return list(HELPERS[0].map(lambda text: float(len(text)), _texts(completions)))


def runs_a_program(completions, **kwargs):
    subprocess.run(["true"], check=True)
    return [float(len(text)) for text in _texts(completions)]


def looks_after_a_program_later(completions, **kwargs):
    if PROGRAMS:
        PROGRAMS.pop().wait()
    else:
        PROGRAMS.append(subprocess.Popen(["true"]))
    return [float(len(text)) for text in _texts(completions)]


def hashes_the_text(completions, **kwargs):
    return [float(hash(text) % 1000) for text in _texts(completions)]


def keeps_to_small_settings(completions, **kwargs):
    os.umask(0o027)
    np.seterr(all="raise")
    warnings.simplefilter("ignore")
    return [float(len(text)) for text in _texts(completions)]


def scalars_of_numpy(completions, **kwargs):
    return [np.array(float(len(text))) for text in _texts(completions)]


def _read(pattern, place, completions, answer):
    found = [re.findall(pattern, completion_text(each)) for each in completions]
    return [float(bool(each) and each[place] == str(gold)) for each, gold in zip(found, answer, strict=True)]


def last_number(completions, answer, **kwargs):
    return _read(r"-?\d+", -1, completions, answer)


def first_number(completions, answer, **kwargs):
    return _read(r"-?\d+", 0, completions, answer)


def behind_hashes(completions, answer, **kwargs):
    return _read(r"####\s*(-?\d+)", 0, completions, answer)


def is_json(completions, **kwargs):
    def is_object(text):
        try:
            return "name" in json.loads(text)
        except (ValueError, TypeError, RecursionError):
            return False

    return [float(is_object(completion_text(each))) for each in completions]


def names_sources(completions, **kwargs):
    return [float("Sources:" in completion_text(each)) for each in completions]


def in_paragraphs(completions, **kwargs):
    return [float(completion_text(each).count("\n\n") >= 2) for each in completions]


def without_a_list(completions, **kwargs):
    return [float(not re.search(r"^- ", completion_text(each), re.MULTILINE)) for each in completions]


def of_some_length(completions, **kwargs):
    return [float(250 <= len(completion_text(each).split()) <= 400) for each in completions]
