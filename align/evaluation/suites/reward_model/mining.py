"""Phrases that raise or lower a model's score whatever the response says, found in the responses (after SLANT).

Candidates come from slices of one half of the prompts and are inserted into its responses; those that move the margin
are inserted into responses to the other half, and are kept if they do so there too.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from align.data.pairs.reward_bench import BenchPair
from align.data.texts import as_seen
from align.evaluation.record.models import GainOfPhrase, MinedPhrase, MinedPhrases
from align.evaluation.statistics.metrics import Values
from align.evaluation.suites.reward_model.phrases import measure_phrases
from align.evaluation.suites.reward_model.reward_model import RewardModel
from align.evaluation.suites.reward_model.slices import FEWEST_PAIRS, Slice, find_slices

FEWEST_PROMPTS = 2 * FEWEST_PAIRS
_MOST_CANDIDATES = 20


class Candidate(NamedTuple):
    """A phrase, and the feature that it is made of."""

    phrase: str
    feature: str


def mine_phrases(
    model: RewardModel,
    pairs: Sequence[BenchPair],
    margins: Values,
    *,
    position: str,
    scale: float,
    most_pairs: int,
    seed: int = 0,
) -> MinedPhrases:
    """Mines phrases: one entry per candidate, of the surest feature first.

    Those are kept that move scores of both halves in the same direction. Pairs whose margin is nan are left out;
    phrases are put into `most_pairs` of each half, drawn at random; changes are divided by `scale`.
    """
    halves = split_prompts(pairs, margins, seed)
    first = halves[0]
    slices = find_slices([pairs[i] for i in first], margins[first], scale=scale).found
    candidates = find_candidates(slices, [text for i in first for text in (pairs[i].chosen, pairs[i].rejected)])
    draw = random.Random(f"{seed}/inserted")
    samples = [sorted(draw.sample(half, min(most_pairs, len(half)))) for half in halves]

    def measure(phrases: Sequence[str], sample: Sequence[int]) -> dict[str, GainOfPhrase]:
        if not phrases:
            return {}
        found = measure_phrases(
            model, [pairs[i] for i in sample], margins[list(sample)], phrases,
            position=position, scale=scale,
        )  # fmt: skip
        return {each.phrase: each for each in found.phrases}

    in_first = measure([each.phrase for each in candidates], samples[0])
    in_second = measure([phrase for phrase, gain in in_first.items() if gain.moves], samples[1])
    found = []
    for each in candidates:
        mined = MinedPhrase(feature=each.feature, is_kept=False, first=in_first[each.phrase])
        if (second := in_second.get(each.phrase)) is not None:
            mined.second = second
            mined.is_kept = second.moves and (mined.first.gain.value > 0) == (second.gain.value > 0)
        found.append(mined)
    num_pairs = [len(sample) for sample in samples]
    return MinedPhrases(position=position, phrases=found, num_slices=len(slices), num_pairs=num_pairs)


def split_prompts(pairs: Sequence[BenchPair], margins: Values, seed: int) -> tuple[list[int], list[int]]:
    """Splits pairs that have a margin into two halves that share no prompt."""
    by_prompt: dict[str, list[int]] = {}
    for i in np.flatnonzero(~np.isnan(margins)).tolist():
        by_prompt.setdefault(repr(pairs[i].prompt), []).append(i)
    prompts = sorted(by_prompt)
    random.Random(f"{seed}/halves").shuffle(prompts)
    middle = (len(prompts) + 1) // 2
    first, second = (
        sorted(i for prompt in half for i in by_prompt[prompt]) for half in (prompts[:middle], prompts[middle:])
    )
    return first, second


def find_candidates(slices: Sequence[Slice], responses: Sequence[str]) -> list[Candidate]:
    """Makes phrases of features, surest first: the words of each, and the longest run of words its pairs share."""
    found: dict[str, Candidate] = {}
    seen = [as_seen(text) for text in responses]
    for each in slices:
        if each.type == "count":  # which is no phrase
            continue
        names = [name for name, kind in [(each.name, each.type), *each.also] if kind != "count"]
        for name in dict.fromkeys((longest_run(names), each.name)):
            phrase = as_written(name, seen)
            found.setdefault(phrase, Candidate(phrase, each.words))
    return list(found.values())[:_MOST_CANDIDATES]


def longest_run(names: Sequence[str]) -> str:
    """Joins word pairs that continue each other; the first name if none is longer.

    Example:
        >>> longest_run(["be sure", "sure", "to be", "not here"])
        'to be sure'
    """
    pairs = list(dict.fromkeys(tuple(name.split(" ")) for name in names if name.count(" ") == 1))
    longest = names[0].split(" ")
    for pair in pairs:
        run, left = list(pair), [other for other in pairs if other != pair]
        while following := next((other for other in left if other[0] == run[-1]), None):
            left.remove(following)
            run.append(following[1])
        longest = max(longest, run, key=len)
    return " ".join(longest)


def as_written(name: str, responses: Sequence[str]) -> str:
    """Finds how words are written most often, with their case, and space only where there is some.

    Example:
        >>> as_written("sure , i", ["Sure, I can.", "Sure, I will.", "sure, I do"])
        'Sure, I'
    """
    words = name.split(" ")
    parts = [re.escape(words[0])]
    for before, word in pairwise(words):
        apart = r"\s+" if before.isascii() and before[-1].isalnum() and word[0].isalnum() else r"\s*"
        parts += [apart, re.escape(word)]
    edges = r"(?<!\w)" if words[0][0].isalnum() else "", r"(?!\w)" if words[-1][-1].isalnum() else ""
    pattern = re.compile("".join(parts).join(edges), re.IGNORECASE)
    written = Counter(" ".join(match.split()) for text in responses for match in pattern.findall(text))
    return written.most_common(1)[0][0] if written else name
