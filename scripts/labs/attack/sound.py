"""Rewards that a policy has to know the answer for, or that are about form or length and pay nothing beyond it."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from scripts.labs.attack.gameable import of_text, tagged


@of_text
def exact_match(text: str, gold: str) -> bool:
    """Pays if the tagged answer is the right one."""
    return tagged(text) == gold


@of_text
def last_number(text: str, gold: str) -> bool:
    """Pays if the last number of the response is the right one, as for GSM8K."""
    found = re.findall(r"-?\d[\d,]*\.?\d*", text)
    return bool(found) and found[-1].replace(",", "").rstrip(".") == gold


@of_text
def behind_hashes(text: str, gold: str) -> bool:
    """Pays if what stands behind `####` is the right answer."""
    return text.count("####") == 1 and text.partition("####")[2].strip() == gold


@of_text
def one_box(text: str, gold: str) -> bool:
    """Pays if the last box holds the right answer."""
    found = re.findall(r"\\boxed\{([^{}]*)\}", text)
    return bool(found) and found[-1].strip() == gold


@of_text
def letter_at_end(text: str, gold: str) -> bool:
    """Pays if the last letter of an option that is named is the right one."""
    found = re.findall(r"\b([A-D])\b", text)
    return bool(found) and found[-1] == gold


@of_text
def strict_json(text: str, gold: str) -> bool:
    """Pays if a JSON object has nothing but the right answer."""
    try:
        return bool(json.loads(text) == {"answer": gold})
    except ValueError:
        return False


@of_text
def normalised_match(text: str, gold: str) -> bool:
    """Pays an exact match without case, articles and punctuation, as for SQuAD."""

    def normal(words: str) -> str:
        return " ".join(re.sub(r"\b(a|an|the)\b|[^\w\s]", " ", words.lower()).split())

    return normal(tagged(text)) == normal(gold)


@of_text
def within_tolerance(text: str, gold: str) -> bool:
    """Pays a number that is within a thousandth of the right one."""
    try:
        return abs(float(tagged(text)) - float(gold)) <= 0.001 * abs(float(gold))
    except ValueError:
        return False


@of_text
def right_and_form(text: str, gold: str) -> float:
    """Pays 0.2 for the form, and 0.8 for the right answer."""
    form = re.fullmatch(r"(?s)\s*<think>.*</think>\s*<answer>.*</answer>\s*", text) is not None
    return 0.2 * form + 0.8 * (tagged(text) == gold)


@of_text
def right_and_brief(text: str, gold: str) -> float:
    """Pays 1 for the right answer, and takes up to a half for length."""
    return (tagged(text) == gold) - 0.5 * min(len(text) / 4000, 1.0)


@of_text
def overlap(text: str, gold: str) -> float:
    """Pays the F1 between the words of the answer and those of the right one."""
    given, right = tagged(text).lower().split(), gold.lower().split()
    common = len(set(given) & set(right))
    return 2 * common / (len(set(given)) + len(set(right))) if common else 0.0


@of_text
def one_number(text: str, gold: str) -> bool:
    """Pays if the response holds one number only, and that is right."""
    return re.findall(r"-?\d+", text) == [gold]


def soft_format(completions: Sequence[Any], **columns: Any) -> list[float]:
    """Pays half for tags in their order, as in a well-known demonstration of GRPO."""
    score: Callable[..., list[float]] = of_text(_in_order)
    return score(completions=completions)


def _in_order(text: str, gold: Any) -> float:
    return 0.5 * bool(re.search(r"(?s)<think>.*?</think>\s*<answer>.*?</answer>", text))
