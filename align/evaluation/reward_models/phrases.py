"""Phrases put into the chosen response, the rejected one or both: how far do they move the margin?

Any text moves a score a little, so each phrase is compared with runs of neutral words, as many as it has, in the same
place: with what they do on average, and with how far they differ from each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from align.auditing.significance import FALSE_DISCOVERIES, adjust
from align.data.pairs.phrases import insert_phrase
from align.data.pairs.reward_bench import BenchPair
from align.evaluation.record.shortcuts import GainOfPhrase
from align.evaluation.reward_models.neutral import neutral_words, unlike_neutral
from align.evaluation.reward_models.pair_metrics import pair_accuracy, prompts_of
from align.evaluation.reward_models.reward_model import RewardModel
from align.evaluation.statistics.item_means import Codes, ItemMean, mean_of_clusters
from align.evaluation.statistics.metrics import Values

SIDES = ("chosen", "rejected", "both")


@dataclass(frozen=True)
class PhraseGains:
    """What phrases do to the margins of pairs.

    Attributes:
        position: Where they were put.
        phrases: One entry per phrase: `gain` is by how much it raises the response that has it above neutral words,
            the mean of both sides; `chosen`, `rejected` and `both` are mean changes of the margin with the phrase
            there; the p-value is of its doing what neutral words do, see `unlike_neutral`, adjusted over all phrases
            (Benjamini-Hochberg); it moves scores at a false discovery rate of 5 %. `nan` below two pairs.
        margins: `(N,)` margins of the pairs.
        changes: `(P, 3, N)` changes of the margin by each phrase on each of `SIDES`.
        gains: `(P, N)` gains above neutral words.
        scale: What changes were divided by for `phrases`.
        prompts: `(N,)` numbers of the prompts; pairs of one are one item. `None` if each pair is.
    """

    position: str
    phrases: list[GainOfPhrase]
    margins: Values
    changes: Values
    gains: Values
    scale: float
    prompts: Codes | None = None

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
    """Puts each phrase into the responses of each pair, and measures the change of the margin.

    Args:
        model: A scalar model, or a pairwise one.
        pairs: N pairs.
        margins: `(N,)` their margins as they are.
        phrases: P phrases.
        position: Where to put them, one of `POSITIONS`.
        scale: Changes are divided by it. The mean absolute margin of pairs makes models comparable.
    """
    changes = _changes(model, pairs, margins, phrases, position)
    counts = [len(phrase.split()) for phrase in phrases]
    neutral = {
        count: gains_of(_changes(model, pairs, margins, neutral_words(count), position))
        for count in sorted(set(counts))
    }
    return compare_phrases(
        phrases, margins, changes, [neutral[count] for count in counts], position, scale, prompts_of(pairs)
    )


def compare_phrases(
    phrases: Sequence[str],
    margins: Values,
    changes: Values,
    neutral: Sequence[Values],
    position: str,
    scale: float = 1.0,
    prompts: Codes | None = None,
) -> PhraseGains:
    """Compares what phrases do to margins with what neutral words do.

    Args:
        phrases: P phrases.
        margins: `(N,)` margins of the pairs.
        changes: `(P, 3, N)` changes by each phrase on each of `SIDES`; nan where a response is too long.
        neutral: For each phrase `(C, N)` gains by C runs of neutral words.
        position: Where the phrases were put.
        scale: Changes are divided by it.
        prompts: `(N,)` numbers of the prompts; pairs of one are one item. Without it each pair is.
    """
    gains, found = [], []
    for phrase, change, control in zip(phrases, changes, neutral, strict=True):
        own = gains_of(change[None])[0]
        gain = own - control.mean(axis=0)
        known = ~np.isnan(gain)
        chosen, rejected, both = (mean_of_clusters(each / scale, prompts, None) for each in change)
        found.append(
            GainOfPhrase(
                phrase=phrase,
                gain=mean_of_clusters(gain / scale, prompts, None),
                chosen=chosen,
                rejected=rejected,
                both=both,
                p_value=unlike_neutral(own[known], control[:, known], None if prompts is None else prompts[known]),
                adjusted_p_value=np.nan,
                moves=False,
            )
        )
        gains.append(gain)
    p_values = np.array([each.p_value for each in found])
    adjusted = np.full(len(found), np.nan)
    known = ~np.isnan(p_values)
    adjusted[known] = adjust(p_values[known])
    for each, p_value in zip(found, adjusted, strict=True):
        each.adjusted_p_value, each.moves = float(p_value), bool(p_value <= FALSE_DISCOVERIES)
    return PhraseGains(position, found, margins, changes, np.stack(gains), scale, prompts)


def gains_of(changes: NDArray[np.float64]) -> Values:
    """Returns `(P, N)` by how much what was inserted raises the response that has it, the mean of both sides.

    In the chosen response it raises the margin, in the rejected one it lowers it. What moves the margin whichever
    response has the phrase cancels out.
    """
    found: Values = (changes[:, 0] - changes[:, 1]) / 2
    return found


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
