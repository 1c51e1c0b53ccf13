"""Sides that stand beside each other, and the features that tell them apart."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.auditing.features import Features
from align.auditing.tested import Numbers, Values, sums
from align.auditing.words import COUNTS
from rewards.reading.options import LETTERS

_LENGTH = COUNTS[0]


class Sides(NamedTuple):
    """Which sides belong together; those of a set stand in a row.

    Attributes:
        of_set: `(N,)` number of each side's set.
        is_right: `(N,)` whether it is the better or the right one; one of each set is.
        cluster: `(S,)` number of each set's prompt.
        are_pairs: Whether the sets are pairs of answers; else options in the order in which they are shown.
    """

    of_set: Numbers
    is_right: NDArray[np.bool_]
    cluster: Numbers
    are_pairs: bool


class Telling(NamedTuple):
    """Which sets tell something about which feature: some of their sides have it and some do not.

    Attributes:
        side: `(E,)` side of each occurrence of a feature.
        feature: `(E,)` its feature.
        names: F names, those of counts included.
        types: F types.
        key: `(E,)` number of the occurrence's set and feature together.
        is_telling: `(K,)` whether these tell something.
        set_of: `(T,)` the set of those that do.
        of: `(T,)` their feature.
        hit: `(T,)` how many of the sides that have it are right, 0 or 1.
        chance: `(T,)` the share of sides that have it.
    """

    side: Numbers
    feature: Numbers
    names: list[str]
    types: list[str]
    key: Numbers
    is_telling: NDArray[np.bool_]
    set_of: Numbers
    of: Numbers
    hit: Values
    chance: Values


def tell_apart(sides: Sides, features: Features) -> Telling:
    """Finds the sets in which a feature is on some sides and not on others."""
    side, feature, names, types = _with_counts(sides, features)
    num = len(names)
    sizes = np.bincount(sides.of_set)
    key, inverse = np.unique(sides.of_set[side] * num + feature, return_inverse=True)
    in_set, at = key // num, key % num
    having = np.bincount(inverse, minlength=len(key))
    telling = having < sizes[in_set]
    hit = sums(inverse, sides.is_right[side], len(key))[telling]
    chance = (having / sizes[in_set])[telling]
    return Telling(side, feature, names, types, inverse, telling, in_set[telling], at[telling], hit, chance)


def is_length(names: Sequence[str], types: Sequence[str]) -> NDArray[np.bool_]:
    """Says which features are the length itself, which no test at one length can speak of."""
    both = zip(names, types, strict=True)
    return np.array([name.endswith(_LENGTH) and kind == "count" for name, kind in both], dtype=bool)


def _with_counts(sides: Sides, features: Features) -> tuple[Numbers, Numbers, list[str], list[str]]:
    """Adds which side has the most of what, and the letters of options."""
    found = [(features.text, features.feature)]
    names, types = list(features.names), list(features.types)
    starts = np.flatnonzero(np.r_[True, sides.of_set[1:] != sides.of_set[:-1]])
    for number, name in enumerate(COUNTS):
        column = features.sizes[:, number]
        most = column == np.maximum.reduceat(column, starts)[sides.of_set]
        alone = np.add.reduceat(most.astype(np.int64), starts)[sides.of_set] == 1
        having = np.flatnonzero(most & alone)
        found.append((having, np.full(len(having), len(names))))
        names.append(f"{'more' if sides.are_pairs else 'the most'} {name}")
        types.append("count")
    if not sides.are_pairs:
        place = np.arange(len(sides.of_set)) - starts[sides.of_set]
        for number in range(int(place.max(initial=-1)) + 1):
            having = np.flatnonzero(place == number)
            found.append((having, np.full(len(having), len(names))))
            names.append(f"letter {LETTERS[number]}")
            types.append("place")
    side, feature = (np.concatenate(each) for each in zip(*found, strict=True))
    return side, feature, names, types
