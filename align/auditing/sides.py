"""Cues among sides of which one is right: both answers of a pair, or the options of a question."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from align.auditing.features import COUNTS, FEWEST, Features, is_length
from align.auditing.significance import (
    NUM_STRATA,
    Flags,
    Numbers,
    Tested,
    Values,
    binomial,
    of_z,
    strata_of,
    stricter,
    sums,
)
from rewards.reading.options import LETTERS

_SMOOTHING = 5.0  # sides added to a stratum, of which as many are right as in all sets


class Sides(NamedTuple):
    """Which sides belong together; those of a set stand in a row."""

    of_set: Numbers  # `(N,)` number of each side's set
    is_right: Flags  # `(N,)` whether it is the better or the right one; one of each set is
    cluster: Numbers  # `(S,)` number of each set's prompt
    are_pairs: bool  # pairs of answers; else options in the order in which they are shown


class Telling(NamedTuple):
    """Which sets tell something about which feature: some of their sides have it and some do not."""

    side: Numbers  # `(E,)` side of each occurrence of a feature
    feature: Numbers  # `(E,)` its feature
    names: list[str]  # F, those of counts included
    types: list[str]  # F
    key: Numbers  # `(E,)` number of the occurrence's set and feature together
    is_telling: Flags  # `(K,)` whether these tell something
    set_of: Numbers  # `(T,)` the set of those that do
    of: Numbers  # `(T,)` their feature
    hit: Values  # `(T,)` how many of the sides that have it are right, 0 or 1
    chance: Values  # `(T,)` the share of sides that have it


def tell_apart(sides: Sides, features: Features) -> Telling:
    """Finds the sets in which a feature is on some sides and not on others."""
    side, feature, names, types, _ = features.beside(_counts(sides, features))
    num = len(names)
    sizes = np.bincount(sides.of_set)
    key, inverse = np.unique(sides.of_set[side] * num + feature, return_inverse=True)
    in_set, at = key // num, key % num
    having = np.bincount(inverse, minlength=len(key))
    telling = having < sizes[in_set]
    hit = sums(inverse, sides.is_right[side], len(key))[telling]
    chance = (having / sizes[in_set])[telling]
    return Telling(side, feature, names, types, inverse, telling, in_set[telling], at[telling], hit, chance)


def _counts(sides: Sides, features: Features) -> Iterator[tuple[str, str, Numbers]]:
    """Says which side has the most of what, and which has the letter of an option."""
    starts = np.flatnonzero(np.r_[True, sides.of_set[1:] != sides.of_set[:-1]])
    for number, name in enumerate(COUNTS):
        column = features.sizes[:, number]
        most = column == np.maximum.reduceat(column, starts)[sides.of_set]
        alone = np.add.reduceat(most.astype(np.int64), starts)[sides.of_set] == 1
        yield f"{'more' if sides.are_pairs else 'the most'} {name}", "count", np.flatnonzero(most & alone)
    if not sides.are_pairs:
        place = np.arange(len(sides.of_set)) - starts[sides.of_set]
        for number in range(int(place.max(initial=-1)) + 1):
            yield f"letter {LETTERS[number]}", "place", np.flatnonzero(place == number)


def compare_choices(sides: Sides, features: Features) -> Tested:
    """Tests which features are on the right side more or less often than chance has it.

    A set tells something about a feature if some of its sides have it and some do not. Sets of a prompt count as one,
    by their mean. Within strata of length a side is expected to be right as often as sides of its relative length are
    where the feature tells nothing.
    """
    side, feature, names, types, inverse, telling, set_of, of, hit, chance = tell_apart(sides, features)
    num = len(names)

    lengths = features.sizes[:, 0] + 1.0
    of_a_set = np.bincount(sides.of_set, weights=lengths) / np.bincount(sides.of_set)
    stratum = strata_of(np.log(lengths / of_a_set[sides.of_set]))
    weights = _weights(sides, stratum, set_of, of, num)
    weight_of_side = weights[feature, stratum[side]]
    ours = sums(inverse, weight_of_side, len(telling))[telling]
    by_set = _per_set(sides, stratum, np.ones(len(stratum)))
    chance_within = ours / (by_set[set_of] * weights[of]).sum(axis=1)

    # One vote a prompt: means over its sets.
    num_clusters = int(sides.cluster.max(initial=-1)) + 1
    _, vote, per_vote = np.unique(of * num_clusters + sides.cluster[set_of], return_inverse=True, return_counts=True)
    voted = np.zeros(len(per_vote), dtype=np.int64)
    voted[vote] = of
    means = [sums(vote, each, len(per_vote)) / per_vote
             for each in (hit, chance, hit - chance_within)]  # fmt: skip
    n = np.bincount(voted, minlength=num).astype(float)
    hits, expected, over, squares = (sums(voted, each, num) for each in (*means, means[2] ** 2))
    kept = np.flatnonzero(n >= FEWEST)
    n, hits, expected, over, squares = (each[kept] for each in (n, hits, expected, over, squares))
    expected = expected / n
    effect, within = hits / n - expected, over / n
    z = (hits - n * expected) / np.sqrt(n * expected * (1 - expected))
    z_within = over / np.sqrt(np.maximum(squares, 1e-12))
    of_length = is_length(names, types)[kept]
    within, z_within = np.where(of_length, effect, within), np.where(of_length, z, z_within)
    p_raw = binomial(hits, n, expected)
    p_values = stricter(p_raw, z, np.where(of_length, p_raw, of_z(z_within)), z_within)

    order = np.lexsort((set_of, of))
    place = np.full(num, -1)
    place[kept] = np.arange(len(kept))
    order = order[place[of[order]] >= 0]
    goes, against = ("chosen", "rejected") if sides.are_pairs else ("the right option", "wrong options")
    return Tested(
        where="answer" if sides.are_pairs else "option",
        names=[names[i] for i in kept],
        types=[types[i] for i in kept],
        targets=[goes] * len(kept),
        opposites=[against] * len(kept),
        n=n, hits=hits, expected=expected, effect=effect, within=within, p_raw=p_raw, p_values=p_values, z=z,
        are_shares=True,
        unit=set_of[order],
        feature=place[of[order]],
        is_hit=hit[order] > 0,
    )  # fmt: skip


def _per_set(sides: Sides, stratum: Numbers, weights: Values) -> Values:
    """Returns `(S, strata)` sums over the sides of a set."""
    num = len(sides.cluster)
    flat = sums(sides.of_set * NUM_STRATA + stratum, weights, num * NUM_STRATA)
    return flat.reshape(num, NUM_STRATA)


def _weights(sides: Sides, stratum: Numbers, set_of: Numbers, of: Numbers, num: int) -> Values:
    """Returns `(F, strata)` how often sides of a stratum are right, in the sets in which a feature tells nothing."""
    counted, overall = [], []
    for values in (np.ones(len(stratum)), sides.is_right.astype(float)):
        by_set = _per_set(sides, stratum, values)
        telling = np.stack([sums(of, by_set[set_of, each], num) for each in range(NUM_STRATA)], axis=1)
        overall.append(by_set.sum(axis=0))
        counted.append(overall[-1] - telling)
    share = (overall[1] + sides.is_right.mean()) / (overall[0] + 1)
    return (counted[1] + _SMOOTHING * share) / (counted[0] + _SMOOTHING)
