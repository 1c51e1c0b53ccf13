"""Whether a text that should not give the gold away does: a linear model of its n-grams against permuted golds."""

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from align.auditing.cues import describe
from align.auditing.entry import Entry
from align.auditing.features import FEWEST, Features, Texts
from align.auditing.rows import Compared, Seen, first_of_prompt
from align.auditing.significance import Flags, Numbers, Values
from align.evaluation.statistics.metrics import wilson
from rewards.reading.options import LETTERS

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WITH_GOLD = ("questions", "prompts", "sft")
PERMUTATIONS = 20
_FOLDS = 5
_MOST_ROWS = 4_000  # the model takes the square of them in memory
_MOST_LABELS = 1_000
_RIDGE = 1.0
_SHOWN = 6
_SEED = 0


@dataclass(frozen=True)
class MaskFinding:
    """How well the gold can be told from the text of a column."""

    column: str  # with the text
    n: int  # rows of different prompts, whose gold at least `FEWEST` rows have
    classes: int  # different golds
    accuracy: float  # share of golds told right, each by a model that has not seen its row
    low: float  # end of its 95 % interval
    high: float
    permuted: float  # accuracy with golds permuted, in the mean
    permuted_most: float  # the highest of them
    leaks: bool  # whether the accuracy is higher than with any permutation
    phrases: list[str]  # what gives most away, with the gold


class MaskData:
    """Takes up the text of a column and the gold of every row."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._texts = Texts()
        self._golds = array("q")
        self._names: dict[str, int] = {}

    def add(self, entry: Entry) -> None:
        """Takes a row up."""
        gold = entry.label if entry.gold is None else LETTERS[entry.gold]
        if gold is None and len(entry.sides) == 1:
            gold = entry.sides[0].strip()
        if gold is not None and len(self._names) < _MOST_LABELS:
            self._names.setdefault(gold, len(self._names))
        self._golds.append(-1 if gold is None else self._names.get(gold, -1))
        self._texts.add(entry.masked or "")

    def find(self, seen: Seen, rows: Compared) -> MaskFinding | str:
        """Tells golds from texts; returns a sentence where there are too few rows."""
        golds = np.frombuffer(self._golds, dtype=np.int64)
        kept = first_of_prompt(rows.distinct & (golds >= 0), seen)
        common = np.bincount(golds[kept], minlength=max(1, len(self._names))) >= FEWEST
        kept &= common[np.maximum(golds, 0)]
        if common.sum() < 2:
            return (
                f"`{self.column}`: fewer than two golds stand in {FEWEST} different rows, so nothing can be said "
                "about what gives them away."
            )
        chosen = np.flatnonzero(kept)
        if len(chosen) > _MOST_ROWS:
            chosen = np.sort(np.random.default_rng(_SEED).choice(chosen, _MOST_ROWS, replace=False))
            kept = np.isin(np.arange(len(kept)), chosen)
        features = self._texts.features(kept)
        if not features.names:
            return f"`{self.column}`: no word stands in {FEWEST} of its texts, so nothing can be said about it."
        names = list(self._names)
        codes, labels = np.unique(golds[chosen], return_inverse=True)
        return _tell(self.column, features, chosen, labels, [names[code] for code in codes])


def _tell(column: str, features: Features, chosen: Numbers, labels: Numbers, names: list[str]) -> MaskFinding:
    rng = np.random.default_rng(_SEED)
    n = len(chosen)
    matrix = _matrix(features, chosen)
    kernel = np.asarray((matrix @ matrix.T).todense())
    every = np.stack([labels, *(rng.permutation(labels) for _ in range(PERMUTATIONS))])
    fold = rng.permutation(np.arange(n) % _FOLDS)
    right = np.zeros((len(every), n), dtype=bool)
    for each in range(_FOLDS):
        train, test = fold != each, fold == each
        scores = _scores(kernel, every, train, test, len(names))
        right[:, test] = scores.argmax(axis=2) == every[:, test]
    accuracies = right.mean(axis=1)
    interval = wilson(int(right[0].sum()), n)
    permuted = accuracies[1:]
    leaks = bool(accuracies[0] > permuted.max())
    weights = matrix.T @ _fit(kernel, np.eye(len(names))[labels])
    phrases = _strongest(features, np.asarray(weights), names) if leaks else []
    return MaskFinding(
        column, n, len(names), float(accuracies[0]), interval.low, interval.high, float(permuted.mean()),
        float(permuted.max()), leaks, phrases,
    )  # fmt: skip


def _matrix(features: Features, chosen: Numbers) -> "csr_array":
    """Makes `(N, F)` n-grams, the rarer the heavier, of length 1 a row."""
    from scipy.sparse import csr_array

    row = np.searchsorted(chosen, features.text)
    n, num = len(chosen), len(features.names)
    weight = np.log(n / np.bincount(features.feature, minlength=num)) + 1
    values = weight[features.feature]
    length = np.sqrt(np.bincount(row, weights=values**2, minlength=n))
    return csr_array((values / length[row], (row, features.feature)), shape=(n, num))


def _scores(kernel: Values, every: Numbers, train: Flags, test: Flags, classes: int) -> NDArray[np.float64]:
    """Returns `(P, test, C)` scores of ridge regressions, one for each row of golds, by one factorisation."""
    targets = np.stack([np.eye(classes)[labels[train]] for labels in every], axis=1)  # train, P, C
    means = targets.mean(axis=0)
    flat = (targets - means).reshape(int(train.sum()), -1)
    weights = _fit(kernel[np.ix_(train, train)], flat)
    scores = kernel[np.ix_(test, train)] @ weights
    return scores.reshape(int(test.sum()), len(every), classes).swapaxes(0, 1) + means[:, None, :]


def _fit(kernel: Values, targets: Values) -> Values:
    from scipy.linalg import cho_factor, cho_solve

    centred = targets - targets.mean(axis=0)
    return cho_solve(cho_factor(kernel + _RIDGE * np.eye(len(kernel))), centred)


def _strongest(features: Features, weights: Values, names: list[str]) -> list[str]:
    """Words the n-grams of the greatest weight with the gold that each speaks for."""
    found = []
    for index in np.argsort(-weights, axis=None, kind="stable")[:_SHOWN]:
        feature, gold = np.unravel_index(index, weights.shape)
        found.append(f"{describe(features.names[feature], features.types[feature])} for {names[gold]}")
    return found
