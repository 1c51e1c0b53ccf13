"""The arms of `lab.py`: how each makes a reward for new headlines from a table of clicks.

The reward model is the same for all: ridge regression on the words' TF-IDF. Arms differ in the outcome it is fitted
to; two baselines change the model instead, by the confounder as an input, or by a second head as in ODIN (Chen et al.
2024, arXiv 2402.07319) with popularity in place of length.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from rewards.correction import (
    CorrectionWarning,
    Corrector,
    DoubleML,
    FixedEffects,
    InstrumentalVariables,
    NaiveResidual,
    NoCorrection,
)
from scripts.labs.deconfound.world import World

RIDGE = 10.0
ODIN_CORRELATION, ODIN_ORTHOGONAL = 1.0, 1.0
KINK = 1e-2
Array = np.ndarray[Any, np.dtype[Any]]


class Table(NamedTuple):
    """A world with the features of both lists of headlines."""

    world: World
    features: Any
    new_features: Any


class Learnt(NamedTuple):
    """What an arm learnt: `(M,)` rewards of new headlines, and the fitted estimator if it has one."""

    reward: Array
    corrector: Corrector | None = None


def make_table(world: World) -> Table:
    """Turns headlines into TF-IDF."""
    words = TfidfVectorizer(norm=None)
    return Table(world, words.fit_transform(world.text), words.transform(world.new_text))


def fit_corrector(corrector: Corrector, world: World, **columns: Any) -> Corrector:
    """Fits an estimator to a world; its warnings stay in `correction_`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorrectionWarning)
        return corrector.fit(world.outcome, {"popularity": world.popularity}, **columns)


def learn(table: Table, outcome: Array, corrector: Corrector | None = None) -> Learnt:
    """Fits the reward model to an outcome and scores new headlines."""
    return Learnt(Ridge(alpha=RIDGE, tol=1e-8).fit(table.features, outcome).predict(table.new_features), corrector)


def corrected(make: Callable[[], Corrector], *names: str) -> Callable[[Table], Learnt]:
    """Makes the arm of an estimator that takes these columns of the world."""
    columns = {"text": "text", "instruments": "shock", "groups": "author"}

    def run(table: Table) -> Learnt:
        world = table.world
        corrector = fit_corrector(make(), world, **{name: getattr(world, columns[name]) for name in names})
        reward = corrector.correct(world.outcome, {"popularity": world.popularity}, groups=world.author)
        return learn(table, reward, corrector)

    return run


def demeaned(table: Table) -> Learnt:
    """Subtracts the mean outcome of each author and nothing else."""
    world = table.world
    means = np.bincount(world.author, weights=world.outcome) / np.bincount(world.author)
    return learn(table, world.outcome - means[world.author])


def as_input(table: Table) -> Learnt:
    """Gives the reward model the confounder as an input, and fixes it when new headlines are scored."""
    inputs = hstack([table.features, table.world.popularity[:, None]]).tocsr()
    model = Ridge(alpha=RIDGE, tol=1e-8).fit(inputs, table.world.outcome)
    return Learnt(table.new_features @ model.coef_[:-1])


def two_heads(table: Table) -> Learnt:
    """Fits two linear heads that add up to the outcome; the second takes what goes with popularity and is dropped."""
    features = table.features.toarray()
    outcome, popularity = (values - values.mean() for values in (table.world.outcome, table.world.popularity))
    centred = features - features.mean(axis=0)
    gram = centred.T @ centred / len(centred) + RIDGE / len(centred) * np.eye(centred.shape[1])
    with_outcome, with_popularity = (centred.T @ values / len(centred) for values in (outcome, popularity))
    objective = _Odin(gram, with_outcome, with_popularity / popularity.std(), float(outcome.var()))
    start = np.linalg.solve(gram, with_outcome) / 2
    found = minimize(objective, np.concatenate([start, start * 0.9]), jac=True, method="L-BFGS-B")
    return Learnt(table.new_features @ found.x[: len(start)])


class _Odin(NamedTuple):
    gram: Array
    with_outcome: Array
    with_popularity: Array
    variance: float

    def __call__(self, heads: Array) -> tuple[float, Array]:
        """Returns loss and gradient: squared error + |rho(quality)| - rho(second) + |quality' second|, normalised."""
        quality, second = np.split(heads, 2)
        together = quality + second
        error = together @ self.gram @ together - 2 * together @ self.with_outcome
        slope = 2 * (self.gram @ together - self.with_outcome) / self.variance
        rho, rho_slope = self._correlation(quality)
        other, other_slope = self._correlation(second)
        both = quality @ second
        size = np.linalg.norm(quality) * np.linalg.norm(second)
        overlap, overlap_slope = _smooth_size(both / size)
        sign = overlap_slope * ODIN_ORTHOGONAL
        quality_slope = sign * (second / size - both / size * quality / (quality @ quality))
        second_slope = sign * (quality / size - both / size * second / (second @ second))
        distance, distance_slope = _smooth_size(rho)
        loss = error / self.variance + ODIN_CORRELATION * (distance - other) + ODIN_ORTHOGONAL * overlap
        return float(loss), np.concatenate(
            [
                slope + ODIN_CORRELATION * distance_slope * rho_slope + quality_slope,
                slope - ODIN_CORRELATION * other_slope + second_slope,
            ]
        )

    def _correlation(self, head: Array) -> tuple[float, Array]:
        spread = np.sqrt(head @ self.gram @ head)
        rho = head @ self.with_popularity / spread
        return float(rho), self.with_popularity / spread - rho * (self.gram @ head) / spread**2


def _smooth_size(value: float) -> tuple[float, float]:
    """Returns |value| and its slope, rounded off at 0, where L-BFGS would get stuck in the kink."""
    size = float(np.hypot(value, KINK))
    return size, value / size


def oracle(table: Table) -> Learnt:
    """Learns from clicks without confounder and unobserved causes."""
    return learn(table, table.world.clean_outcome)


ARMS: dict[str, Callable[[Table], Learnt]] = {
    "none": corrected(NoCorrection),
    "ols (naive residual)": corrected(NaiveResidual),
    "odin, two heads": two_heads,
    "confounder as input": as_input,
    "dml": corrected(DoubleML, "text"),
    "iv without text": corrected(lambda: InstrumentalVariables(on_weak_instrument="keep"), "instruments"),
    "iv": corrected(InstrumentalVariables, "text", "instruments"),
    "oracle": oracle,
}
MORE_ARMS: dict[str, dict[str, Callable[[Table], Learnt]]] = {
    "weak": {
        "iv kept though weak": corrected(
            lambda: InstrumentalVariables(on_weak_instrument="keep"), "text", "instruments"
        )
    },
    "grouped": {
        "demeaned outcome": demeaned,
        "fixed effects, no text": corrected(FixedEffects, "groups"),
        "fixed effects": corrected(FixedEffects, "text", "groups"),
    },
}
