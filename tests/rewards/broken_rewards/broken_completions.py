"""Rewards that fail on what policies write, or read only one form of it."""

import json
import re

from rewards import completion_text


def _texts(completions):
    return [completion_text(completion) for completion in completions]


def divides_by_length(completions, **kwargs):
    return [text.count("a") / len(text) for text in _texts(completions)]


def last_word(completions, **kwargs):
    return [float(text.split()[-1].isdigit()) for text in _texts(completions)]


def after_the_trace(completions, **kwargs):
    return [float(len(text.split("</think>")[1])) for text in _texts(completions)]


def tag_index(completions, **kwargs):
    return [float(text.index("</answer>") - text.index("<answer>")) if "<answer>" in text else 0.0
            for text in _texts(completions)]  # fmt: skip


def number_in_tags(completions, answer, **kwargs):
    found = [re.search(r"<answer>(.*?)</answer>", text, re.DOTALL) for text in _texts(completions)]
    return [float(abs(float(match[1]) - float(right)) < 1e-6) if match else 0.0
            for match, right in zip(found, answer, strict=True)]  # fmt: skip


def distance_to_number(completions, answer, **kwargs):
    values = []
    for text, right in zip(_texts(completions), answer, strict=True):
        match = re.search(r"<answer>(.*?)</answer>", text, re.DOTALL)
        try:
            values.append(-abs(float(match[1]) - float(right)))
        except (TypeError, ValueError):
            values.append(-1000.0)
    return values


def whole_number(completions, answer, **kwargs):
    found = [re.search(r"<answer>(\d+)</answer>", text) for text in _texts(completions)]
    return [
        float(match is not None and int(match[1]) == int(right)) for match, right in zip(found, answer, strict=True)
    ]


def evaluates(completions, answer, **kwargs):
    found = [re.search(r"<answer>([\d+*/. -]+)</answer>", text) for text in _texts(completions)]
    values = []
    for match, right in zip(found, answer, strict=True):
        try:
            values.append(float(match is not None and eval(match[1]) == float(right)))
        except SyntaxError:
            values.append(0.0)
    return values


def fenced_json(completions, **kwargs):
    found = [re.search(r"```json\n(.*)", text, re.DOTALL) for text in _texts(completions)]
    return [float("answer" in json.loads(match[1])) if match else float(len(text) > 50)
            for match, text in zip(found, _texts(completions), strict=True)]  # fmt: skip


def parses_brackets(completions, **kwargs):
    def depth(text, place=0):
        if place >= len(text) or text[place] not in "(":
            return 0
        return 1 + depth(text, place + 1)

    return [float(len(text)) - depth(text) for text in _texts(completions)]


def formats_the_response(completions, **kwargs):
    return [float(len((text + " of %d") % 7)) for text in _texts(completions)]


def encodes_as_ascii(completions, **kwargs):
    return [float(len(text.encode("ascii"))) for text in _texts(completions)]


def empty_box(completions, **kwargs):
    found = [re.search(r"\\boxed\{(.*?)\}", text) for text in _texts(completions)]
    return [float(ord(match[1][0])) if match else 0.0 for match in found]


def texts_only(completions, **kwargs):
    return [float(re.search(r"<answer>", text) is not None) for text in completions]


def messages_only(completions, **kwargs):
    return [float("<answer>" in completion[0]["content"]) for completion in completions]


def counts_messages(completions, **kwargs):
    return [float(len(completion)) for completion in completions]


def looks_for_tags_in_the_list(completions, **kwargs):
    return [float("<answer>" in completion) for completion in completions]


def writes_the_list_out(completions, **kwargs):
    return [float(len(str(completion))) for completion in completions]
