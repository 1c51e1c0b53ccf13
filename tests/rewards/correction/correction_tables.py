"""Small tables for the tests of `rewards.correction`, in which the truth is known."""

from typing import Any, NamedTuple

import numpy as np

WORDS = [f"word{number:02d}" for number in range(30)]
HOT = 10  # of the words


class Drawn(NamedTuple):
    text: list[str]
    outcome: Any
    confounder: Any
    instrument: Any
    groups: Any
    worth: Any


def draw(num_rows=3000, seed=0, *, by_shock=0.7, cause=0.0, by_group=0.0) -> Drawn:
    """Outcome = worth + 2 * confounder + causes + noise; hot words are worth something and move the confounder."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(num_rows // 15, size=num_rows)
    of_group = rng.normal(size=num_rows)[groups]
    rate = 1 / (1 + np.exp(0.7 - rng.normal(size=num_rows) - by_group * of_group))
    is_hot = rng.random((num_rows, 6)) < rate[:, None]
    words = np.where(is_hot, rng.integers(HOT, size=is_hot.shape), rng.integers(HOT, len(WORDS), size=is_hot.shape))
    hot = is_hot.sum(axis=1) / 2
    instrument, unobserved, noise, error = rng.normal(size=(4, num_rows))
    confounder = 0.6 * hot + by_shock * instrument + cause * unobserved + by_group * of_group + 0.5 * noise + 3
    outcome = hot + 2 * confounder + cause * unobserved + 2 * by_group * of_group + 0.5 * error
    text = [" ".join(WORDS[word] for word in row) for row in words]
    return Drawn(text, outcome, confounder, instrument, groups, hot)


def columns(num_rows=400, seed=0):
    """An outcome, two endogenous and two exogenous columns, three instruments, and clusters."""
    rng = np.random.default_rng(seed)
    instruments, exogenous = rng.normal(size=(num_rows, 3)), rng.normal(size=(num_rows, 2)) * [1, 50] + [0, 1000]
    cause = rng.normal(size=num_rows)
    endogenous = np.column_stack([instruments[:, 0] + instruments[:, 2], instruments[:, 1]]) + cause[:, None]
    endogenous = endogenous + rng.normal(size=endogenous.shape)
    spread = 1 + np.abs(instruments[:, 0])
    outcome = endogenous @ [2.5, -1.0] + exogenous @ [1.0, 0.02] + cause + spread * rng.normal(size=num_rows)
    clusters = rng.integers(num_rows // 8, size=num_rows)
    return outcome, endogenous, exogenous, instruments, clusters
