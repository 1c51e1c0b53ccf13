"""What a reward goes with beside being right: length, format, markdown, phrases, place of the answer."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.auditing.features import Texts
from align.auditing.significance import FALSE_DISCOVERIES, adjust, of_z
from align.evaluation.statistics.metrics import Values
from align.training.reward_records import rank_correlation, text_features

LEAST = 0.4  # a weaker rank correlation is what a reward of a part of the answer has with words of that part
MOST_PHRASES = 2_000
_FEWEST = 16  # values with company in their stratum, below which no correlation of 0.4 is beyond chance


class Features(NamedTuple):
    """What can be seen of n completions."""

    names: list[str]  # K
    kinds: list[str]  # K: length, format, markdown, repetition, position, phrase
    table: Values  # `(n, K)`


class Cue(NamedTuple):
    """A feature that a reward goes with."""

    kind: str
    name: str
    correlation: float  # of ranks, within groups and among completions that are equally right
    p_value: float  # adjusted by Benjamini and Hochberg over all features


def see(
    texts: Sequence[str],
    num_tokens: Sequence[int],
    stated: Sequence[str | None],
    asked: Sequence[str],
    shown: Sequence[frozenset[str]] = (),
) -> Features:
    """Counts the features of completions; words of what was `asked`, the right answer included, are no phrases.

    `shown` are the words of prompts without those of right answers, whose echo is counted.
    """
    seen = text_features(texts, num_tokens)
    # Where the answer stands; behind the text where it stands nowhere, or where there is none.
    places = [t.casefold().find(x) % (len(t) + 1) if x else len(t) for t, x in zip(texts, stated, strict=True)]
    columns = [
        ("length", "tokens", seen[:, 0]),
        ("repetition", "share of repeated phrases", seen[:, 1]),
        ("format", "tags and boxes", seen[:, 5]),
        ("markdown", "items of lists, marks of emphasis and code", seen[:, 3] + seen[:, 4]),
        ("format", "lines", seen[:, 2]),
        ("position", "characters before the answer", np.array(places, float)),
    ]
    if shown:
        told = [len(words & {*text.casefold().split()}) for words, text in zip(shown, texts, strict=True)]
        columns.append(("echo", "words of the prompt", np.array(told, float)))
    letters = sorted({each for each in stated if each is not None and len(each) == 1 and each.isalpha()})
    columns += [("position", f"answers {x.upper()}", np.array([y == x for y in stated], float)) for x in letters]
    kept = Texts()
    for text in texts:
        kept.add(text)
    phrases = kept.features(np.ones(len(texts), dtype=bool))
    for number, (kind, phrase) in enumerate(zip(phrases.types[:MOST_PHRASES], phrases.names, strict=False)):
        if not all(any(map(str.isalpha, word)) for word in phrase.split()):  # signs are a form's, numbers answers
            continue
        having = [place for place in phrases.text[phrases.feature == number] if phrase not in asked[place]]
        columns.append(("phrase", f"{kind} `{phrase}`", np.isin(np.arange(len(texts)), having).astype(float)))
    kinds, names, values = zip(*columns, strict=True)
    return Features(list(names), list(kinds), np.stack(values, axis=1))


def goes_with(reward: Values, features: Features, strata: NDArray[np.int64]) -> list[Cue]:
    """Finds the features that a reward `(n,)` goes with inside strata, the strongest first.

    A stratum holds the completions of a prompt that are equally right, and of which all or none have an answer. The
    test is that of ranks permuted within strata, by its normal limit; the rate of false discoveries is held at 5 %,
    and cues are of at least 0.4.
    """
    kept = np.isfinite(reward) & (np.bincount(strata)[strata] > 1)
    if kept.sum() < _FEWEST:
        return []
    places = np.flatnonzero(kept)[np.argsort(strata[kept], kind="stable")]
    _, groups = np.unique(strata[places], return_inverse=True)
    signals = [rank_correlation(reward[places], column, groups) for column in features.table[places].T]
    tested = [number for number, signal in enumerate(signals) if signal.n > 0]
    p_values = adjust(of_z(np.array([signals[number].value * math.sqrt(signals[number].n) for number in tested])))
    found = [
        Cue(features.kinds[number], features.names[number], signals[number].value, float(p))
        for number, p in zip(tested, p_values, strict=True)
        if p < FALSE_DISCOVERIES and abs(signals[number].value) >= LEAST
    ]
    return sorted(found, key=lambda cue: -abs(cue.correlation))
