from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rewards.correction._libraries import library
from rewards.correction._moments import Array

TOP_SHARE = 0.1


class Agreement(NamedTuple):
    """How alike several corrections rank the same rows.

    Attributes:
        names: Of the E corrections.
        rank_correlation: `(E, E)` Spearman's.
        top_overlap: `(E, E)` share of the best tenth by one that is in the best tenth by the other.
    """

    names: tuple[str, ...]
    rank_correlation: Array
    top_overlap: Array


def rank_agreement(rewards: Mapping[str, Any]) -> Agreement:
    """Compares the rankings of the same rows by rewards from several estimators.

    Where estimators with different assumptions agree, the assumptions matter little; where they do not, which one is
    right cannot be read off the table.

    Args:
        rewards: `(N,)` rewards by name, two at least; rows where one is nan are left out.

    Raises:
        ValueError: If there are fewer than two.
    """
    if len(rewards) < 2:
        raise ValueError(f"`rewards` must hold at least two to compare, got {', '.join(rewards) or 'none'}.")
    table = np.stack([np.asarray(values, dtype=float) for values in rewards.values()])
    table = table[:, np.isfinite(table).all(axis=0)]
    ranks = library("scipy.stats").rankdata(table, axis=1)
    top = ranks > (1 - TOP_SHARE) * table.shape[1]
    common = (top[:, None] & top[None]).sum(axis=-1) / np.maximum(top.sum(axis=1), 1)[:, None]
    return Agreement(tuple(rewards), np.corrcoef(ranks), common)
