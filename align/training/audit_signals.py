"""What a reward goes along with in a batch: length, format and repetition. An audit; it prevents nothing."""

import re
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

SIGNALS = ("length", "format", "repetition", "format_share")
NUM_FEATURES = 6
_MARKS = (r"\n", r"^\s*(?:[-*+]|\d+[.)])\s", r"\*\*|^#+ |```|`", r"<[^<>\n]{1,40}>|\\boxed|\[[^\[\]\n]{1,40}\]")
_PATTERNS = [re.compile(mark, re.MULTILINE) for mark in _MARKS]
_WORDS_IN_A_ROW = 4


def text_features(texts: Sequence[str], num_tokens: Sequence[int]) -> np.ndarray:
    """Counts what can be seen of completions without understanding them, `(N, 6)`.

    Tokens; share of runs of four words that came before in the text; and the format: lines, items of lists, marks of
    emphasis and code, tags and boxes.
    """
    return np.array(
        [
            [length, repetition(text), *(len(pattern.findall(text)) for pattern in _PATTERNS)]
            for text, length in zip(texts, num_tokens, strict=True)
        ],
        dtype=np.float64,
    ).reshape(-1, NUM_FEATURES)


def repetition(text: str) -> float:
    """Returns the share of runs of four words that came before in the text; 0 for a text of fewer words.

    Example:
        >>> repetition("so it is so it is so it is so it is")
        0.667
    """
    words = text.split()
    runs = [tuple(words[i : i + _WORDS_IN_A_ROW]) for i in range(len(words) - _WORDS_IN_A_ROW + 1)]
    return round(1 - len(set(runs)) / len(runs), 3) if runs else 0.0


def audit_signals(rewards: np.ndarray, features: np.ndarray, num_generations: int) -> dict[str, float]:
    """Tells how much a reward `(N,)` goes along with features of the text among the completions of a prompt.

    Only differences within a group count, since nothing else of a reward moves the policy. NaN is no reward; the
    completions of a prompt are in a row. Returns `length`, `repetition` and `format` (number of marks): Spearman
    correlations in -1..1. `format_share`: share of the reward's variance that a linear fit on the counts of marks
    explains, less what chance would (adjusted R^2), at least 0. NaN where the reward or the feature does not vary, or
    rows are too few for the fit.
    """
    groups = np.arange(len(rewards)) // num_generations
    kept = np.isfinite(rewards)
    rewards, features, groups = rewards[kept], features[kept], groups[kept]
    marks = features[:, 2:]
    columns = {"length": features[:, 0], "repetition": features[:, 1], "format": marks.sum(axis=1)}
    found = {name: _rank_correlation(rewards, column, groups) for name, column in columns.items()}
    return found | {"format_share": _explained_share(_centred(rewards, groups), _centred(marks, groups), groups)}


def _rank_correlation(rewards: np.ndarray, column: np.ndarray, groups: np.ndarray) -> float:
    """Correlates ranks within groups, so that a prompt with long answers and high rewards is no evidence."""
    ranks = [np.empty_like(rewards), np.empty_like(rewards)]
    for group in np.unique(groups):
        rows = groups == group
        ranks[0][rows], ranks[1][rows] = rankdata(rewards[rows]), rankdata(column[rows])
    first, second = (_centred(values, groups) for values in ranks)
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / scale) if scale > 0 else float("nan")


def _explained_share(rewards: np.ndarray, marks: np.ndarray, groups: np.ndarray) -> float:
    varying = marks[:, marks.std(axis=0) > 0] if len(marks) else marks
    freedom = len(rewards) - len(np.unique(groups))  # what is left after the groups' means
    total = (rewards**2).sum()
    if total <= 0 or freedom <= varying.shape[1] or not varying.shape[1]:
        return float("nan")
    fitted = varying @ np.linalg.lstsq(varying, rewards, rcond=None)[0]
    residual = ((rewards - fitted) ** 2).sum() / (freedom - varying.shape[1])
    return float(max(0.0, 1 - residual / (total / freedom)))


def _centred(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    centred = np.array(values, dtype=np.float64)
    for group in np.unique(groups):
        centred[groups == group] -= centred[groups == group].mean(axis=0)
    return centred
