"""Rewards with error rates of their own, which read an answer in tags."""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from hashlib import sha256
from typing import Any

Judge = Callable[[str, str], float]


def answer_of(text: str) -> str:
    """Reads what stands in the answer tags."""
    return text.rpartition("<answer>")[2].partition("</answer>")[0]


def number_of(text: str) -> Fraction | None:
    """Reads a plain number or fraction."""
    try:
        return Fraction(text.strip().replace(" ", ""))
    except (ValueError, ZeroDivisionError):
        return None


def chance(*texts: str) -> float:
    """Draws a number in [0, 1) that is the same for the same texts."""
    return int.from_bytes(sha256("\0".join(texts).encode()).digest()[:4], "big") / 2**32


def _words(text: str) -> list[str]:
    return re.sub(r"[^\w\s]", "", text.casefold()).split()


def _last_number(text: str) -> str:
    return (re.findall(r"-?[\d.,/]*\d", text) or [""])[-1]


def _float(text: str) -> float | None:
    try:
        return float(text.replace(",", "").strip("$ "))
    except ValueError:
        return None


def _near(text: str, gold: str, most: float) -> bool:
    own, right = _float(text), _float(gold)
    return text == gold or (own is not None and right is not None and abs(own - right) <= most)


def noisy(fnr: float, fpr: float, judge: Judge | None = None) -> Judge:
    """Makes a judge that is wrong at chance, by a hash of the text, on so many right and wrong answers."""

    def score(text: str, gold: str) -> float:
        is_right = (judge or lenient)(text, gold) > 0.5
        return float(is_right != (chance(text, gold) < (fnr if is_right else fpr)))

    return score


def lenient(text: str, gold: str) -> float:
    """Pays equal numbers and equal words, and nothing that says more."""
    own, right = number_of(text), number_of(gold)
    return float(own == right if own is not None and right is not None else _words(text) == _words(gold))


JUDGES: dict[str, Judge] = {
    "exact": lambda text, gold: text == gold,
    "stripped": lambda text, gold: text.strip() == gold,
    "case_insensitive": lambda text, gold: text.strip().casefold() == gold.casefold(),
    "as_float": lambda text, gold: _near(text, gold, 0.0),
    "near_float": lambda text, gold: _near(text, gold, 1.0),
    "as_fraction": lenient,
    "refuses_a_half": lambda text, gold: text.strip(" $*.") == gold,  # 0.5 for 1/2 is wrong to it
    "contains": lambda text, gold: gold in text,
    "contained": lambda text, gold: text.strip() in gold,
    "pays_both": lambda text, gold: gold in re.split(r" or |, ", text),
    "last_number": lambda text, gold: (
        _last_number(text) == _last_number(gold) and bool(_last_number(gold) or text == gold)
    ),
    "ignores_sign": lambda text, gold: text.strip().lstrip("-") == gold.lstrip("-"),
    "digits_alone": lambda text, gold: re.sub(r"\D", "", text) == re.sub(r"\D", "", gold) != "" or text == gold,
    "bag_of_letters": lambda text, gold: sorted(text.strip()) == sorted(gold),
    "same_words": lambda text, gold: _words(text) == _words(gold),
    "most_words": lambda text, gold: (
        len({*_words(text)} & {*_words(gold)}) / max(1, len({*_words(text)} | {*_words(gold)}))
    ),
    "first_word": lambda text, gold: text.split()[:1] == gold.split()[:1],
    "pays_nothing_too": lambda text, gold: text.strip() in ("", gold),
    "noise_05_05": noisy(0.05, 0.05),
    "noise_30_02": noisy(0.30, 0.02),
    "noise_02_30": noisy(0.02, 0.30),
    "noise_on_exact": noisy(0.10, 0.20, lambda text, gold: text == gold),
}


def reward(judge: Judge) -> Callable[..., list[float]]:
    """Makes a reward of a judge."""

    def score(completions: Sequence[str], answer: Sequence[str], **kwargs: Any) -> list[float]:
        return [float(judge(answer_of(text), gold)) for text, gold in zip(completions, answer, strict=True)]

    return score
