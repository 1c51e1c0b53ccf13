"""Predicts columns from text without a row ever meeting itself: folds by group, ridge on features."""

import hashlib
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from rewards.correction._moments import Array, Moments
from rewards.correction.columns import Sample
from rewards.correction.table import stack, standardise
from rewards.extras import library

NEEDED_BY = "`rewards.correction`"
# Chinese, Japanese, Thai, Lao, Burmese and Khmer are written without spaces between words.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_RUN = re.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]{{2,}}")


class CrossFit(NamedTuple):
    """Out-of-fold predictions."""

    predictions: Array  # (N, T)
    r2: Array  # (T,) share of each target's variance that they explain
    ridge: Array  # (T,) the penalty with the least out-of-fold error
    folds: Array  # (N,) the fold in which each row was held out


class Residuals(NamedTuple):
    """What is left of outcome `(N,)`, confounders `(N, K)` and instruments `(N, L)` without the text's part.

    The predictions of `fit` are less the means of the columns.
    """

    outcome: Array
    confounders: Array
    instruments: Array | None
    fit: CrossFit


def partial_out_text(
    sample: Sample, moments: Moments, num_folds: int, max_words: int, ridge: Sequence[float], seed: int
) -> Residuals:
    """Removes what the text predicts, out of fold, from outcome, confounders and instruments; none is constant."""
    features, (standard, units) = text_features(sample, max_words), standardise(sample, moments)
    targets = stack(standard)
    fit = cross_fit(features, targets, assign_folds(fold_keys(sample), num_folds, seed), ridge)
    left, width = (targets - fit.predictions) * units, 1 + len(sample.confounders.names)
    instruments = None if sample.instruments is None else left[:, width:]
    return Residuals(left[:, 0], left[:, 1:width], instruments, fit._replace(predictions=fit.predictions * units))


def text_features(sample: Sample, max_words: int) -> Any:
    """Returns the given features, or TF-IDF of the words of the text as an `(N, D)` sparse matrix.

    TF-IDF is not scaled to unit length: what words are worth adds up, and scaling would leave a part of it that no
    linear model finds, in the outcome and in the confounder alike.
    """
    if sample.features is not None:
        return sample.features
    if sample.text is None:
        raise ValueError(
            "The text is needed to tell its effect from that of the confounders. Pass `text` or `features`."
        )
    if not any(map(words, sample.text)):
        raise ValueError("No text has a word of two letters. Pass `features`, or leave the text out.")
    make = library("sklearn.feature_extraction.text", NEEDED_BY).TfidfVectorizer
    return make(analyzer=words, max_features=max_words, norm=None).fit_transform(sample.text)


def fold_keys(sample: Sample) -> Array:
    """Returns what must not cross folds: the group, else the text itself, else the row of features."""
    if sample.groups is not None:
        return sample.groups
    if sample.text is not None:
        return sample.text.astype(str)
    rows = sample.features.tocsr() if hasattr(sample.features, "tocsr") else sample.features
    return np.array([_digest(rows[number]) for number in range(rows.shape[0])])


def assign_folds(keys: Array, num_folds: int, seed: int) -> Array:
    """Draws a fold, `(N,)` numbers from 0, for every distinct key; the order of rows does not matter."""
    labels, codes = np.unique(keys, return_inverse=True)
    if num_folds < 2 or len(labels) < num_folds:
        raise ValueError(
            f"`num_folds` must be at least 2 and at most the number of groups, got {num_folds} folds and "
            f"{len(labels)} groups. Lower `num_folds`, or group by something finer."
        )
    splitter = library("sklearn.model_selection", NEEDED_BY).GroupKFold(num_folds, shuffle=True, random_state=seed)
    folds = np.empty(len(codes), dtype=np.int64)
    for number, (_, held_out) in enumerate(splitter.split(codes, groups=codes)):
        folds[held_out] = number
    return folds


def cross_fit(features: Any, targets: Array, folds: Array, ridge: Sequence[float]) -> CrossFit:
    """Predicts `(N, T)` targets of each fold by ridge on `(N, D)` features of the others, with the best penalty."""
    make = library("sklearn.linear_model", NEEDED_BY).Ridge
    predictions = np.empty((len(ridge), *targets.shape))
    for number in range(int(folds.max()) + 1):
        held_out = folds == number
        train, centre = features[~held_out], targets[~held_out].mean(axis=0)
        for place, penalty in enumerate(ridge):
            model = make(alpha=penalty, tol=1e-8).fit(train, targets[~held_out] - centre)
            predictions[place, held_out] = model.predict(features[held_out]).reshape(-1, targets.shape[1]) + centre
    errors = ((targets - predictions) ** 2).mean(axis=1)  # (penalties, T)
    best = errors.argmin(axis=0)
    columns = np.arange(targets.shape[1])
    r2 = 1 - errors[best, columns] / targets.var(axis=0)
    return CrossFit(predictions[best, :, columns].T, r2, np.asarray(ridge, dtype=float)[best], folds)


def _digest(row: Any) -> str:
    parts = (row.indices, row.data) if hasattr(row, "indices") else (row,)
    return hashlib.blake2b(b"".join(part.tobytes() for part in parts), digest_size=16).hexdigest()


def words(text: str) -> list[str]:
    """Lists words of two letters or more in small letters; of a script without spaces, its characters and their pairs.

    Example:
        >>> words("A cat in 北京市")
        ['cat', 'in', '北', '京', '市', '北京', '京市']
    """
    found: list[str] = []
    for run in _RUN.findall(text.lower()):
        if re.match(rf"[{_UNSPACED}]", run):
            found += [*run, *map("".join, pairwise(run))]
        else:
            found.append(run)
    return found
