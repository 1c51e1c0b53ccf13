"""Text features that a reward model favours, or holds against a response (after RaVL, arXiv 2411.04097)."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from align.auditing.cues import MOST_ALSO, Lead, describe, fold
from align.auditing.features import FEWEST, Features, Texts
from align.auditing.sides import Sides, is_length, tell_apart
from align.auditing.significance import (
    FALSE_DISCOVERIES,
    NUM_STRATA,
    Tested,
    adjust,
    strata_of,
    stricter,
    sums,
)
from align.data.pairs.reward_bench import BenchPair
from align.evaluation.record.details import SliceOfPairs, SlicesOfPairs
from align.evaluation.statistics.item_means import Codes, by_cluster
from align.evaluation.statistics.metrics import LEVEL, Estimate, Values, mean_over_seeds

FEWEST_OF_A_SIDE = 10  # prompts in which only the chosen response has a feature, and in which only the rejected has it


def compare_margins(sides: Sides, features: Features, margins: Values) -> Tested:
    """Tests which features raise or lower the margin of the response that has them.

    A feature that a model favours by d makes the margin score(chosen) - score(rejected) larger by d where only the
    chosen response has it, and smaller by d where only the rejected one has it. What pairs have in common, such as a
    model that is mostly right, is on both sides and cancels out. The test is that of Mann and Whitney between the two;
    the second one is of what the length of the responses leaves of the margins' ranks, a line in each stratum of their
    logarithmic difference. Pairs of a prompt count as one, by their mean, on each of the two sides.

    Sides are the chosen and the rejected one of P pairs, features those of the 2P responses, margins are known. A
    positive effect is a feature that the model favours: the chance that a margin of the first side is above one of the
    second, ties half, minus one half. `n` are prompts of both sides, `hits` those of the first.
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
        sums(vote, each[unit], len(counts)) / counts for each in (margins, without_length(left, features))
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
        are_shares=False,
        unit=unit[order], feature=new[feature[order]], is_hit=on_chosen[order],
    )  # fmt: skip


def without_length(values: Values, features: Features) -> Values:
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


FEWEST_PAIRS = FEWEST  # below it no feature can be in enough of them on both sides


def find_slices(pairs: Sequence[BenchPair], margins: Values, *, scale: float = 1.0) -> SlicesOfPairs:
    """Finds features of responses that go with margins (divided by `scale`), at a false discovery rate of 5 %."""
    known = np.flatnonzero(~np.isnan(margins))
    texts = Texts()
    numbers: dict[str, int] = {}
    for i in known:
        texts.add(pairs[i].chosen)
        texts.add(pairs[i].rejected)
    cluster = np.array([numbers.setdefault(repr(pairs[i].prompt), len(numbers)) for i in known], dtype=np.int64)
    sides = Sides(np.repeat(np.arange(len(known)), 2), np.tile([True, False], len(known)), cluster, are_pairs=True)
    values = margins[known] / scale
    if len(known) < FEWEST_PAIRS:
        return SlicesOfPairs(found=[], num_tested=0, num_by_length=0, num_pairs=len(known))
    tested = compare_margins(sides, texts.features(np.ones(len(texts), dtype=bool)), values)
    return arrange_slices(tested, values, cluster)


def arrange_slices(tested: Tested, margins: Values, prompts: Codes) -> SlicesOfPairs:
    """Keeps what passes, puts features of the same pairs under the surest one, and counts the rest."""
    adjusted, alone = adjust(tested.p_values), adjust(tested.p_raw)
    passing = np.flatnonzero(adjusted <= FALSE_DISCOVERIES)
    leads = fold([tested], sorted((-abs(tested.z[i]), 0, int(i)) for i in passing))
    found = [_slice(tested, lead, margins, prompts, float(adjusted[lead.feature])) for lead in leads]
    by_length = int(((alone <= FALSE_DISCOVERIES) & (adjusted > FALSE_DISCOVERIES)).sum())
    return SlicesOfPairs(
        found=found,
        num_tested=len(adjusted),
        num_by_length=by_length,
        num_pairs=len(margins),
    )


def _slice(tested: Tested, lead: Lead, margins: Values, prompts: Codes, p_value: float) -> SliceOfPairs:
    units, on_chosen = tested.units(lead.feature)
    parts = units[on_chosen], units[~on_chosen]  # means of prompts are what the tests compare, too
    ours, theirs = (np.divide(*by_cluster(margins[each], prompts[each])) for each in parts)
    names = [(tested.names[i], tested.types[i]) for i in (lead.feature, *lead.also)]
    return SliceOfPairs(
        feature=describe(*names[0]),
        favour=_half_difference(ours, theirs),
        only_chosen=mean_over_seeds(ours)._replace(unit="items"),
        only_rejected=mean_over_seeds(theirs)._replace(unit="items"),
        adjusted_p_value=p_value,
        also=[describe(*other) for other in names[1 : 1 + MOST_ALSO]],
        names=names,
    )


def _half_difference(ours: Values, theirs: Values) -> Estimate:
    from scipy.stats import ttest_ind

    value, num = float(ours.mean() - theirs.mean()) / 2, len(ours) + len(theirs)
    if np.ptp(ours) == np.ptp(theirs) == 0:
        return Estimate(value, math.nan, math.nan, num)
    interval = ttest_ind(ours, theirs, equal_var=False).confidence_interval(LEVEL)
    return Estimate(value, float(interval.low) / 2, float(interval.high) / 2, num)
