"""Which text features go with a reward model's margins: Mann-Whitney for each, with and without the length."""

import numpy as np
from numpy.typing import NDArray

from align.auditing.features import FEWEST, Features
from align.auditing.sides import Sides, is_length, tell_apart
from align.auditing.significance import NUM_STRATA, strata_of
from align.auditing.tested import Numbers, Tested, Values, stricter, sums

FEWEST_OF_A_SIDE = 10  # prompts in which only the chosen response has a feature, and in which only the rejected has it


def compare_margins(sides: Sides, features: Features, margins: Values) -> Tested:
    """Tests which features raise or lower the margin of the response that has them.

    A feature that a model favours by d makes the margin score(chosen) - score(rejected) larger by d where only the
    chosen response has it, and smaller by d where only the rejected one has it. What pairs have in common, such as a
    model that is mostly right, is on both sides and cancels out. The test is that of Mann and Whitney between the two;
    the second one is of what the length of the responses leaves of the margins' ranks, a line in each stratum of
    their logarithmic difference. Pairs of a prompt count as one, by their mean, on each of the two sides.

    Args:
        sides: Chosen and rejected of P pairs, in this order.
        features: Of the 2P responses.
        margins: `(P,)` known margins.

    Returns:
        A positive effect is a feature that the model favours: the chance that a margin of the first side is above one
        of the second, ties half, minus one half. `n` are prompts of both sides, `hits` those of the first.
    """
    from scipy.stats import mannwhitneyu, norm, rankdata

    found = tell_apart(sides, features)
    on_chosen = found.hit > 0
    feature, unit, cluster = found.of, found.set_of, sides.cluster[found.set_of]
    num_clusters = int(sides.cluster.max(initial=-1)) + 1
    _, vote = np.unique((feature * num_clusters + cluster) * 2 + on_chosen, return_inverse=True)
    first = np.zeros(vote.max(initial=-1) + 1, dtype=np.int64)
    first[vote] = np.arange(len(vote))
    counts = np.bincount(vote)
    left = rankdata(margins) if len(margins) else margins
    means, means_left = (
        sums(vote, each[unit], len(counts)) / counts for each in (margins, without_length(left, sides, features))
    )
    of, is_first = feature[first], on_chosen[first]

    num = len(found.names)
    per_side = np.stack([np.bincount(of[is_first == side], minlength=num) for side in (True, False)])
    kept = np.flatnonzero((per_side.min(axis=0) >= FEWEST_OF_A_SIDE) & (per_side.sum(axis=0) >= FEWEST))
    starts = np.searchsorted(of, np.arange(num + 1))  # votes are sorted by feature
    tested = np.zeros((2, 2, len(kept)))  # raw and within: chance, p-value
    for place, number in enumerate(kept):
        part = slice(starts[number], starts[number + 1])
        for row, values in enumerate((means[part], means_left[part])):
            ours, theirs = values[is_first[part]], values[~is_first[part]]
            if np.ptp(values) == 0:  # which the normal approximation has no number for
                tested[row, :, place] = 0.5, 1.0
                continue
            test = mannwhitneyu(ours, theirs, method="asymptotic")
            tested[row, :, place] = test.statistic / (len(ours) * len(theirs)), test.pvalue
    names, types = [found.names[i] for i in kept], [found.types[i] for i in kept]
    tested[1] = np.where(is_length(names, types), tested[0], tested[1])
    effects = tested[:, 0] - 0.5
    z, z_within = np.sign(effects) * norm.isf(tested[:, 1] / 2)
    new = np.full(num, -1)
    new[kept] = np.arange(len(kept))
    order = np.lexsort((unit, feature))
    order = order[new[feature[order]] >= 0]
    return Tested(
        where="response", names=names, types=types,
        targets=["higher margins"] * len(names), opposites=["lower margins"] * len(names),
        n=per_side[:, kept].sum(axis=0).astype(float), hits=per_side[0, kept].astype(float),
        expected=np.full(len(names), 0.5), effect=effects[0], within=effects[1],
        p_raw=tested[0, 1], p_values=stricter(tested[0, 1], z, tested[1, 1], z_within), z=z,
        by_class=np.zeros((len(names), 0)), num_texts=len(sides.of_set),
        unit=unit[order], feature=new[feature[order]], is_hit=on_chosen[order],
    )  # fmt: skip


def without_length(values: Values, sides: Sides, features: Features) -> Values:
    """Takes out of values of pairs what their difference in length explains, by a line in each of five strata."""
    if not len(values):
        return values
    lengths = np.log(features.sizes[:, 0] + 1.0).reshape(-1, 2)
    difference = lengths[:, 0] - lengths[:, 1]
    stratum = strata_of(difference)
    inside: NDArray[np.float64] = (stratum[:, None] == np.arange(NUM_STRATA)).astype(float)
    known = np.concatenate([inside, inside * difference[:, None]], axis=1)
    explained, *_ = np.linalg.lstsq(known, values, rcond=None)
    return values - known @ explained


def pairs_with(tested: Tested, number: int) -> tuple[Numbers, Numbers]:
    """Lists the pairs in which only the chosen response has a feature, and those in which only the rejected has it."""
    units, on_chosen = tested.units(number)
    return units[on_chosen], units[~on_chosen]
