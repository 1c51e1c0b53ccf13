"""Heuristics that order two responses without reading them: a model that reads must do better on the same pairs."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from align.data.conversations import conversation_text
from align.evaluation.record.details import HeuristicOnPairs, SubsetOfPairs
from align.evaluation.statistics.item_means import Codes, ItemMean, mean_of_items
from align.evaluation.statistics.metrics import Estimate, Values, pair_accuracy

KEPT = r"(?P<kept>```.*?(?:```|\Z)|`[^`\n]+`|https?://\S+)"  # code and links
_MARKS = r"(?m:^#{1,6}[ \t])|(?m:^[ \t]*(?:[-*+]|\d+\.)[ \t])|\*\*(?=\S)[^\n]+?\*\*"
ALL = "all"


def count_markdown(text: str) -> int:
    r"""Counts headings, bullets, numbered items, bold texts and fenced blocks, the measure of format.

    Example:
        >>> count_markdown("# A\n- **b**\n1. c\n```\n- d\n```")
        5
    """
    found = re.finditer(f"{KEPT}|{_MARKS}", text, re.DOTALL)
    return sum(match["kept"] is None or match["kept"].startswith("```") for match in found)


def words_of_prompt(prompt: str, response: str) -> int:
    """Counts the words of a prompt that a response has, each once.

    Example:
        >>> words_of_prompt("Why is the sky blue?", "The sky, the SKY is vast.")
        3
    """
    return len(_words(prompt) & _words(response))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


HEURISTICS: Mapping[str, Callable[[str, str], float]] = {  # by what is taken, from a prompt and a response
    "the longer": lambda _, response: len(response),
    "the shorter": lambda _, response: -len(response),
    "the one with more Markdown": lambda _, response: count_markdown(response),
    "the one with more words of the prompt": words_of_prompt,
}


def heuristic_scores(prompts: Sequence[Any], responses: Sequence[str]) -> dict[str, list[float]]:
    """Scores `(N,)` responses to prompts, texts or messages, by each heuristic."""
    texts = list(map(conversation_text, prompts))
    return {name: list(map(score, texts, responses)) for name, score in HEURISTICS.items()}


def heuristics_on_pairs(prompts: Sequence[Any], chosen: Sequence[str], rejected: Sequence[str]) -> dict[str, Values]:
    """Returns whether each heuristic takes the chosen one of `(N,)` pairs: 1, 0, and one half where they are alike."""
    ours, theirs = heuristic_scores(prompts, chosen), heuristic_scores(prompts, rejected)
    return {name: pair_accuracy(np.subtract(ours[name], theirs[name])) for name in HEURISTICS}


def heuristics_as_the_judge(
    prompts: Sequence[Any], ours: Sequence[str], theirs: Sequence[str], worth: Values, codes: Codes
) -> dict[str, Estimate]:
    """Estimates how often each heuristic takes the response that a judge prefers, of the pairs that it decides.

    `worth` is above one half where the judge prefers ours, below where theirs, and one half where it cannot tell.
    """
    taken = heuristics_on_pairs(prompts, ours, theirs)
    same = {
        name: np.where(worth == 0.5, np.nan, np.where(worth > 0.5, each, 1 - each)) for name, each in taken.items()
    }
    return {name: mean_of_items(each, codes=codes) for name, each in same.items()}


def against_heuristics(
    right: Values, by_heuristic: Mapping[str, Values], codes: Codes, groups: Sequence[str | None]
) -> list[SubsetOfPairs]:
    """Compares a model with each heuristic on the same items, of all and of each group; nan is left out of both.

    The model is better than all heuristics where each difference is above 0 in its 95 % interval: this errs in at
    most 5 % of the cases in which one of them is as good, so the intervals need no correction for their number.
    """
    groups = [None if group is None else str(group) for group in groups]
    named = sorted({group for group in groups if group is not None})
    inside = {ALL: np.ones(len(right), dtype=bool)}
    inside |= {name: np.array([group == name for group in groups]) for name in named if len(set(groups)) > 1}
    known, found = ~np.isnan(right), []
    for name, where in inside.items():
        if not (part := where & known).any():
            continue
        model = ItemMean((right[part],), clusters=(codes[part],))
        others = {rule: ItemMean((values[part],), clusters=(codes[part],)) for rule, values in by_heuristic.items()}
        heuristics = [
            HeuristicOnPairs(name=rule, accuracy=other.estimate(), difference=model.difference(other))
            for rule, other in others.items()
        ]
        found.append(SubsetOfPairs(name=name, accuracy=model.estimate(), heuristics=heuristics))
    return found
