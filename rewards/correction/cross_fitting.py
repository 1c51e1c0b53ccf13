"""Predicts columns from text without a row ever meeting itself: folds by group, ridge on features."""

import hashlib
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from rewards.correction._moments import Array, Moments
from rewards.correction.columns import Observations
from rewards.correction.table import stack, standardise
from rewards.extras import library

NEEDED_BY = "`rewards.correction`"
LARGEST = 5000  # system of equations that is solved at once
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

    def worth(self, coefficients: Array) -> Array:
        """Returns the `(N,)` predicted worth of the texts: outcome less confounders, by their `(K,)` coefficients."""
        predictions = self.fit.predictions
        return np.asarray(predictions[:, 0] - predictions[:, 1 : 1 + len(coefficients)] @ coefficients)

    def straightened(self, slopes: Array, width: int, owners: Array, along: Array) -> "Residuals":
        """Takes off what `(M,)` bends behind the `width` confounders do beyond the lines of their owners."""
        beyond = np.zeros(1 + self.confounders.shape[1])  # weights of the outcome and of the confounders
        np.add.at(beyond, 1 + owners, along * slopes)
        beyond[1 + width :] -= slopes
        predictions, count = self.fit.predictions, len(beyond)
        outcome = predictions[:, 0] + predictions[:, :count] @ beyond
        kept = np.column_stack([outcome, predictions[:, 1 : 1 + width], predictions[:, count:]])
        left = self.outcome + self.confounders @ beyond[1:]
        return Residuals(left, self.confounders[:, :width], self.instruments, self.fit._replace(predictions=kept))


def partial_out_text(
    sample: Observations, moments: Moments, num_folds: int, max_words: int, ridge: Sequence[float], seed: int
) -> Residuals:
    """Removes what the text predicts, out of fold, from outcome, confounders and instruments; none is constant."""
    features, (standard, units) = text_features(sample, max_words), standardise(sample, moments)
    targets = stack(standard)
    fit = cross_fit(features, targets, assign_folds(fold_keys(sample), num_folds, seed), ridge)
    left, width = (targets - fit.predictions) * units, 1 + len(sample.confounders.names)
    instruments = None if sample.instruments is None else left[:, width:]
    return Residuals(left[:, 0], left[:, 1:width], instruments, fit._replace(predictions=fit.predictions * units))


def text_features(sample: Observations, max_words: int) -> Any:
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


def fold_keys(sample: Observations) -> Array:
    """Returns what must not cross folds: the group, else the text itself, else the row of features."""
    if sample.groups is not None:
        return sample.groups
    if sample.text is not None:
        return sample.text.astype(str)
    rows = sample.features.tocsr() if hasattr(sample.features, "tocsr") else sample.features
    return np.array([_digest(rows[number]) for number in range(rows.shape[0])])


def assign_folds(keys: Array, num_folds: int, seed: int) -> Array:
    """Draws a fold, `(N,)` numbers from 0, for every distinct key, of which there may be fewer than folds.

    The order of rows does not matter.
    """
    labels, codes = np.unique(keys, return_inverse=True)
    if min(num_folds, len(labels)) < 2:
        raise ValueError(
            f"Cross-fitting needs two groups and `num_folds` of 2 or more, got {len(labels)} groups and {num_folds} "
            "folds. Group by something finer."
        )
    num_folds = min(num_folds, len(labels))
    splitter = library("sklearn.model_selection", NEEDED_BY).GroupKFold(num_folds, shuffle=True, random_state=seed)
    folds = np.empty(len(codes), dtype=np.int64)
    for number, (_, held_out) in enumerate(splitter.split(codes, groups=codes)):
        folds[held_out] = number
    return folds


def cross_fit(features: Any, targets: Array, folds: Array, ridge: Sequence[float]) -> CrossFit:
    """Predicts `(N, T)` targets of each fold by ridge on `(N, D)` features of the others, with the best penalty."""
    features = features.tocsr() if hasattr(features, "tocsr") else features
    predictions = np.empty((len(ridge), *targets.shape))
    for number in range(int(folds.max()) + 1):
        held_out = folds == number
        predictions[:, held_out] = _ridge(features[~held_out], targets[~held_out], features[held_out], ridge)
    errors = ((targets - predictions) ** 2).mean(axis=1)  # (penalties, T)
    best = errors.argmin(axis=0)
    columns = np.arange(targets.shape[1])
    r2 = 1 - errors[best, columns] / targets.var(axis=0)
    return CrossFit(predictions[best, :, columns].T, r2, np.asarray(ridge, dtype=float)[best], folds)


def _ridge(train: Any, targets: Array, held_out: Any, penalties: Sequence[float]) -> Array:
    """Predicts `(penalties, n, T)`; solves for all targets at once, in the fewer of rows and features."""
    (num_rows, width), mean, centre = train.shape, np.asarray(train.mean(axis=0)).ravel(), targets.mean(axis=0)
    if min(num_rows, width) > LARGEST:
        make = library("sklearn.linear_model", NEEDED_BY).Ridge
        models = [make(alpha=penalty, tol=1e-8).fit(train, targets - centre) for penalty in penalties]
        return np.stack([model.predict(held_out).reshape(-1, len(centre)) + centre for model in models])
    by_feature = width <= num_rows
    sides = [each @ mean for each in (train, held_out)]
    if by_feature:
        products, right = _dense(train.T @ train) - num_rows * np.outer(mean, mean), train.T @ (targets - centre)
        left = held_out  # less the mean, below: it need not be dense
    else:
        products, left = (
            _dense(each @ train.T) - side[:, None] - sides[0] + mean @ mean
            for each, side in zip((train, held_out), sides, strict=True)
        )
        right = targets - centre
    linalg, diagonal, found = library("scipy.linalg", NEEDED_BY), np.eye(len(products)), []
    for penalty in penalties:
        factor = linalg.cho_factor(products + penalty * diagonal, overwrite_a=True, check_finite=False)
        slopes = linalg.cho_solve(factor, right, check_finite=False)
        found.append(left @ slopes + centre - (mean @ slopes if by_feature else 0.0))
    return np.stack(found)


def _dense(matrix: Any) -> Array:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)


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
