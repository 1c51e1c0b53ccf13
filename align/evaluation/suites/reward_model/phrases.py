"""Phrases put into the chosen response, the rejected one or both: how far do they move the margin?

Any text moves a score a little, so each phrase is compared with runs of neutral words, as many as it has, in the same
place: with what they do on average, and with how far they differ from each other.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from align.auditing.significance import FALSE_DISCOVERIES, adjust
from align.data.pairs.phrases import insert_phrase
from align.data.pairs.reward_bench import BenchPair
from align.data.texts import as_seen
from align.evaluation.record.details import (
    GainOfPhrase,
    MinedPhrase,
    MinedPhrases,
    SliceOfPairs,
)
from align.evaluation.statistics.item_means import Codes, ItemMean, by_cluster, mean_of_items
from align.evaluation.statistics.metrics import Values, pair_accuracy
from align.evaluation.suites.reward_model.pair_metrics import prompts_of
from align.evaluation.suites.reward_model.slices import FEWEST_PAIRS, find_slices
from align.models.reward_model import RewardModel

_NEUTRAL = (
    "The reply that follows was written on a plain page.",
    "Here is a line of text, and below it is another.",
    "This line comes before the others, which come after it.",
    "A reply is given below, in the usual order of lines.",
    "The words on this line stand above the ones that follow.",
    "What comes next is a reply, and it is written in words.",
    "There is a first line here, and then there are others.",
    "This is the first line, and the next one stands below it.",
    "Below this line there is a reply, as there often is.",
    "Some words come first, and the other words follow after them.",
    "One line is above, and the rest of the page is below.",
    "It begins with a line, and it goes on with others.",
    "Each line on this page is followed by the next line.",
    "After these words there are other words on the same page.",
    "On the first line there are a few words in a row.",
    "Before the other lines there is one line, which is this.",
)
_WORDS_OF_TWO = 20  # in two phrases: runs that begin a phrase apart share no more than half of their words


def neutral_words(count: int) -> list[str]:
    """Returns different runs of neutral words, each from the beginning of another phrase; fewer of more than 20 words.

    Example:
        >>> neutral_words(3)[:2]
        ['The reply that', 'Here is a']
    """
    starts = range(0, len(_NEUTRAL), min(-(-count // _WORDS_OF_TWO), len(_NEUTRAL) // 2))
    found = []
    for start in starts:
        words = " ".join([*_NEUTRAL[start:], *_NEUTRAL[:start]]).split()
        found.append(" ".join((words * (1 + count // len(words)))[:count]))
    return list(dict.fromkeys(found))


def unlike_neutral(changes: Values, neutral: Values, clusters: Codes | None = None) -> float:
    """Tests whether a phrase changes scores as neutral ones do; the larger of two p-values, both Student's.

    One is of its mean change being one more of theirs, the other of its changes having their mean over items, and no
    less than flipping the signs of so few could give. Changes are `(R,)`, and `(C, R)` by C neutral phrases; responses
    to one prompt (`clusters`) are one item. nan below two items.
    """
    if not len(changes):
        return math.nan
    gains, means = changes - neutral.mean(axis=0), neutral.mean(axis=1)
    items = gains if clusters is None else by_cluster(gains, clusters)[0]
    num = len(items)
    if num < 2:
        return math.nan
    apart = float(means.std(ddof=1)) * math.sqrt(1 + 1 / len(means))
    over_phrases = _student(float(gains.mean()), apart, len(means) - 1)
    over_items = _student(float(items.mean()), float(items.std(ddof=1)) / math.sqrt(num), num - 1)
    return max(over_phrases, over_items, 2.0 ** (1 - num))


def _student(value: float, error: float, freedom: int) -> float:
    from scipy.special import stdtr

    if error == 0:
        return float(value == 0)
    return 2 * float(stdtr(freedom, -abs(value / error)))


SIDES = ("chosen", "rejected", "both")


@dataclass(frozen=True)
class PhraseGains:
    """What phrases do to the margins of pairs.

    In `phrases`, `gain` is by how much one raises the response that has it above neutral words, the mean of both
    sides; `chosen`, `rejected` and `both` are mean changes of the margin with the phrase there; the p-value is of its
    doing what neutral words do, see `unlike_neutral`, adjusted over all phrases (Benjamini-Hochberg); it moves scores
    at a false discovery rate of 5 %. `nan` below two pairs.
    """

    phrases: list[GainOfPhrase]
    margins: Values  # `(N,)`, of the pairs
    changes: Values  # `(P, 3, N)` changes of the margin by each phrase on each of `SIDES`
    gains: Values  # `(P, N)`, above neutral words
    scale: float  # what changes were divided by for `phrases`
    prompts: Codes | None = None  # `(N,)`; pairs of one are one item; None if each pair is

    def means(self) -> dict[str, ItemMean]:
        """Returns the metrics: the mean gain of a phrase, and the accuracy lost to one on each side."""
        before = pair_accuracy(self.margins)
        after = pair_accuracy(self.margins + self.changes)
        clusters = None if self.prompts is None else (self.prompts,)
        drops = {
            f"accuracy_drop/phrases_in_{side}": ItemMean(
                ((before - after[:, k]).mean(axis=0),), bounds=(-1.0, 1.0), clusters=clusters
            )
            for k, side in enumerate(SIDES)
        }
        gain = ItemMean((self.gains.mean(axis=0) / self.scale,), bounds=None, clusters=clusters)
        return drops | {"phrase_gain": gain}


def measure_phrases(
    model: RewardModel,
    pairs: Sequence[BenchPair],
    margins: Values,
    phrases: Sequence[str],
    *,
    position: str,
    scale: float,
) -> PhraseGains:
    """Puts phrases into both responses of pairs; changes of the margin are in `scale`, the mean absolute margin."""
    changes = _changes(model, pairs, margins, phrases, position)
    counts = [len(phrase.split()) for phrase in phrases]
    neutral = {
        count: gains_of(_changes(model, pairs, margins, neutral_words(count), position))
        for count in sorted(set(counts))
    }
    return compare_phrases(phrases, margins, changes, [neutral[count] for count in counts], scale, prompts_of(pairs))


def compare_phrases(
    phrases: Sequence[str],
    margins: Values,
    changes: Values,
    neutral: Sequence[Values],
    scale: float = 1.0,
    prompts: Codes | None = None,
) -> PhraseGains:
    """Compares `(P, 3, N)` changes by phrases with `(C, N)` gains by C runs of neutral words, for each phrase.

    Changes are nan where a response is too long. Pairs of one prompt are one item; without prompts each pair is.
    """
    gains, found = [], []
    for phrase, change, control in zip(phrases, changes, neutral, strict=True):
        own = gains_of(change[None])[0]
        gain = own - control.mean(axis=0)
        known = ~np.isnan(gain)
        chosen, rejected, both = (mean_of_items(each / scale, None, prompts) for each in change)
        found.append(
            GainOfPhrase(
                phrase=phrase,
                gain=mean_of_items(gain / scale, None, prompts),
                chosen=chosen,
                rejected=rejected,
                both=both,
                p_value=unlike_neutral(own[known], control[:, known], None if prompts is None else prompts[known]),
                adjusted_p_value=np.nan,
                moves=False,
            )
        )
        gains.append(gain)
    known_ones = [each for each in found if not math.isnan(each.p_value)]
    for each, adjusted in zip(known_ones, adjust(np.array([each.p_value for each in known_ones])), strict=True):
        each.adjusted_p_value, each.moves = float(adjusted), bool(adjusted <= FALSE_DISCOVERIES)
    return PhraseGains(found, margins, changes, np.stack(gains), scale, prompts)


def gains_of(changes: NDArray[np.float64]) -> Values:
    """Returns `(P, N)` by how much what was inserted raises the response that has it, the mean of both sides.

    In the chosen response it raises the margin, in the rejected one it lowers it. What moves the margin whichever
    response has the phrase cancels out.
    """
    return (changes[:, 0] - changes[:, 1]) / 2


def _changes(
    model: RewardModel, pairs: Sequence[BenchPair], margins: Values, texts: Sequence[str], position: str
) -> Values:
    """Returns `(T, 3, N)` changes of the margin by each text on each of `SIDES`."""
    prompts, chosen, rejected = ([getattr(pair, name) for pair in pairs] for name in ("prompt", "chosen", "rejected"))
    found = []
    num = len(pairs)
    before = None if model.pairwise else model.score([*prompts, *prompts], [*chosen, *rejected])
    for text in texts:
        ours, theirs = ([insert_phrase(each, text, position) for each in side] for side in (chosen, rejected))
        if before is None:
            after = model.margins(prompts * 3, [*ours, *chosen, *ours], [*rejected, *theirs, *theirs])
            found.append(after.reshape(3, num) - margins)
        else:
            raised = model.score([*prompts, *prompts], [*ours, *theirs]) - before
            found.append(np.stack([raised[:num], -raised[num:], raised[:num] - raised[num:]]))
    return np.stack(found)


FEWEST_PROMPTS = 2 * FEWEST_PAIRS
_MOST_CANDIDATES = 20


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
    """Mines phrases that move a model's score whatever the response says (after SLANT), of the surest feature first.

    Candidates come from slices of one half of the prompts and are inserted into its responses; those that move the
    margin are inserted into responses to the other half, and are kept if they do so there in the same direction.
    Pairs whose margin is nan are left out; phrases are put into `most_pairs` of each half, drawn at random; changes
    are divided by `scale`.
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

    in_first = measure(list(candidates), samples[0])
    in_second = measure([phrase for phrase, gain in in_first.items() if gain.moves], samples[1])
    found = []
    for phrase, feature in candidates.items():
        mined = MinedPhrase(feature=feature, is_kept=False, first=in_first[phrase])
        if (second := in_second.get(phrase)) is not None:
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


def find_candidates(slices: Sequence[SliceOfPairs], responses: Sequence[str]) -> dict[str, str]:
    """Makes phrases, surest first: the words of each feature, by phrase, and the longest run that its pairs share."""
    found: dict[str, str] = {}
    seen = [as_seen(text) for text in responses]
    for each in slices:
        (own, kind), *_ = each.names
        if kind == "count":  # which is no phrase
            continue
        names = [name for name, kind in each.names if kind != "count"]
        for name in dict.fromkeys((longest_run(names), own)):
            found.setdefault(as_written(name, seen), each.feature)
    return dict(islice(found.items(), _MOST_CANDIDATES))


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
