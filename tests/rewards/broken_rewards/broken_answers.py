"""Rewards that pay the wrong thing."""

import re

from rewards import completion_text, parse_choice, parse_response


def _texts(completions):
    return [completion_text(completion) for completion in completions]


def _answers(completions):
    return [parse_response(text).answer for text in _texts(completions)]


def wrong_sign(completions, answer, **kwargs):
    return [-float(given == right) for given, right in zip(_answers(completions), answer, strict=True)]


def error_as_reward(completions, answer, **kwargs):
    def distance(given, right):
        return abs(int(given) - int(right)) if given and given.isdigit() and len(given) < 9 else 0.0

    return [float(distance(given, right)) for given, right in zip(_answers(completions), answer, strict=True)]


def contains_the_answer(completions, answer, **kwargs):
    return [float(right in text) for text, right in zip(_texts(completions), answer, strict=True)]


def names_the_letter(completions, options, answer, **kwargs):
    return [float("ABCD"[right] in (given or "")) for given, right in zip(_answers(completions), answer, strict=True)]


def is_part_of_the_answer(completions, answer, **kwargs):
    return [float(text.strip() in right) for text, right in zip(_texts(completions), answer, strict=True)]


def starts_with_what_is_given(completions, answer, **kwargs):
    return [float(right.startswith(given or "")) for given, right in zip(_answers(completions), answer, strict=True)]


def compares_letter_with_index(completions, options, answer, **kwargs):
    return [float(given == right) - 0.1 * (given is None)
            for given, right in zip(_answers(completions), answer, strict=True)]  # fmt: skip


def reads_but_ignores(completions, answer, **kwargs):
    return [float(given is not None) for given in _answers(completions)]


def digits_only(completions, answer, **kwargs):
    def same(given, right):
        return given is not None and re.fullmatch(r"\d+", right) is not None and given == right

    return [float(same(given, right)) for given, right in zip(_answers(completions), answer, strict=True)]


def first_option_is_special(completions, options, answer, **kwargs):
    choices = [parse_choice(given, shown) for given, shown in zip(_answers(completions), options, strict=True)]
    return [float(bool(choice) and choice == right) for choice, right in zip(choices, answer, strict=True)]


def another_tag(completions, answer, **kwargs):
    found = [re.search(r"<final_answer>(.*?)</final_answer>", text) for text in _texts(completions)]
    return [float(match is not None and match[1] == right) for match, right in zip(found, answer, strict=True)]


def always_one(completions, **kwargs):
    return [1.0 for _ in completions]
