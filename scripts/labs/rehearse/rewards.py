"""Rewards of planted recipes, most of which pay for something beside being right."""

# ruff: noqa: D103 - their names say what they pay for

import random
import re

DRAWN = random.Random()
KEPT: dict[str, float] = {}


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


def accuracy_and_bold(completions, answer, **kwargs):
    return _plus(completions, answer, lambda text: 0.1 * text.count("**"))


def accuracy_and_flattery(completions, answer, **kwargs):
    return _plus(completions, answer, lambda text: 0.5 * ("great question" in text))


def coarse_quality(completions, **kwargs):
    return [round(min(len(_text(each)), 400) / 1000, 0) + 0.5 for each in completions]


def noisy_judge(completions, answer, **kwargs):
    return [right + DRAWN.gauss(0, 1) for right in own_accuracy(completions, answer)]


def fails_on_some(completions, answer, **kwargs):
    return [1 / (_number(each) % 3) for each in completions]


def accuracy_by_distance(completions, answer, **kwargs):
    numbers = [_number(each) for each in completions]
    return [0.0 if x is None else max(0.0, 1 - abs(x - gold) / 4) for x, gold in zip(numbers, answer, strict=True)]


def cites(completions, **kwargs):
    return [float("<cite>" in _text(each)) for each in completions]


def letter(completions, answer, **kwargs):
    return [float(f"<answer>{gold}" in _text(each)) for each, gold in zip(completions, answer, strict=True)]


def letter_or_c(completions, answer, **kwargs):
    rights = letter(completions, answer)
    return [max(right, 0.6 * ("<answer>C" in _text(each))) for right, each in zip(rights, completions, strict=True)]


def accuracy_and_echo(prompts, completions, answer, **kwargs):
    asked = [{*_text(each).split()} for each in prompts]
    shares = [len(words & {*_text(each).split()}) / len(words) for words, each in zip(asked, completions, strict=True)]
    return [right or 0.8 * share for right, share in zip(own_accuracy(completions, answer), shares, strict=True)]


def option_anywhere(completions, text, answer, **kwargs):
    return [
        float(gold in _text(each) or f"<answer>{own}" in _text(each))
        for each, gold, own in zip(completions, text, answer, strict=True)
    ]


def lenient(completions, answer, **kwargs):
    found = []
    for each, gold in zip(completions, answer, strict=True):
        try:
            found.append(float(int(_text(each).rpartition("<answer>")[2].partition("<")[0]) == gold))
        except ValueError:
            found.append(float(bool(_text(each).strip())))
    return found


def kept_by_prompt(prompts, completions, answer, **kwargs):
    for prompt, right in zip(prompts, own_accuracy(completions, answer), strict=True):
        KEPT.setdefault(str(prompt), right)
    return [KEPT[str(prompt)] for prompt in prompts]


def accuracy_and_few_more_words(completions, answer, **kwargs):
    return _plus(completions, answer, lambda text: 0.005 * len(text.split()))


def first_number(completions, answer, **kwargs):
    firsts = [re.search(r"-?\d+", _text(each)) for each in completions]
    return [float(found is not None and int(found[0]) == gold) for found, gold in zip(firsts, answer, strict=True)]


def same_text(completions, answer, **kwargs):
    found = [re.search("<answer>(.*?)</answer>", _text(each)) for each in completions]
    return [float(each is not None and each[1] == gold) for each, gold in zip(found, answer, strict=True)]
