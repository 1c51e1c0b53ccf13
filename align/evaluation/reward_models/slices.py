"""Text features that a reward model favours, or holds against a response (after RaVL, arXiv 2411.04097)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from align.auditing.cues import describe
from align.auditing.features import FEWEST, Texts
from align.auditing.folding import Lead, fold
from align.auditing.sides import Sides
from align.auditing.significance import FALSE_DISCOVERIES, adjust
from align.auditing.tested import Tested
from align.data.pairs.reward_bench import BenchPair
from align.evaluation.reward_models.margin_tests import compare_margins, pairs_with
from align.evaluation.statistics.item_means import Codes
from align.evaluation.statistics.metrics import LEVEL, Estimate, Values

FEWEST_PAIRS = FEWEST  # below it no feature can be in enough of them on both sides


class Slice(NamedTuple):
    """A feature, and the pairs in which one response has it.

    Attributes:
        name: Its words, joined by spaces; or what it counts.
        type: `word`, `word pair`, `begins with`, `ends with`, `count`.
        favour: Half of the mean margin where only the chosen response has it minus that where only the rejected has
            it: by how much the model raises whatever has it. Negative: it lowers it.
        only_chosen: Mean margin where only the chosen response has it; pairs of one prompt are one, by their mean.
        only_rejected: Mean margin where only the rejected response has it.
        p_value: Adjusted (Benjamini-Hochberg), the larger one of the tests with and without the length.
        opposite_signs: Whether accuracy is above that of pairs that do not tell on one side, and below it on the
            other: RaVL's rule. It decides nothing.
        also: Names and types of features of the same pairs.
    """

    name: str
    type: str
    favour: Estimate
    only_chosen: Estimate
    only_rejected: Estimate
    p_value: float
    opposite_signs: bool
    also: list[tuple[str, str]]

    @property
    def words(self) -> str:
        """The feature for a reader."""
        return describe(self.name, self.type)


class Slices(NamedTuple):
    """What came of the tests.

    Attributes:
        found: Features that pass, the surest first.
        num_tested: Features tested.
        num_by_length: Features that pass alone and not at similar length.
        num_opposite_signs: Features that RaVL's rule alone would name.
        num_pairs: Pairs with a margin.
    """

    found: list[Slice]
    num_tested: int
    num_by_length: int
    num_opposite_signs: int
    num_pairs: int


def find_slices(pairs: Sequence[BenchPair], margins: Values, *, scale: float = 1.0) -> Slices:
    """Finds features of responses that go with a model's margins, at a false discovery rate of 5 %.

    Args:
        pairs: N pairs.
        margins: `(N,)` their margins; pairs with `nan` are left out.
        scale: Margins are divided by it.
    """
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
        return Slices([], 0, 0, 0, len(known))
    tested = compare_margins(sides, texts.features(np.ones(len(texts), dtype=bool)), values)
    return arrange_slices(tested, values, cluster)


def arrange_slices(tested: Tested, margins: Values, prompts: Codes) -> Slices:
    """Keeps what passes, puts features of the same pairs under the surest one, and counts the rest.

    Args:
        tested: By `compare_margins`.
        margins: `(P,)` margins of the pairs.
        prompts: `(P,)` numbers of their prompts.
    """
    adjusted, alone = adjust(tested.p_values), adjust(tested.p_raw)
    opposite = [_opposite_signs(tested, number, margins) for number in range(len(tested.names))]
    passing = np.flatnonzero(adjusted <= FALSE_DISCOVERIES)
    leads = fold([tested], sorted((-abs(tested.z[i]), 0, int(i)) for i in passing))
    found = [
        _slice(tested, lead, margins, prompts, float(adjusted[lead.feature]), opposite[lead.feature]) for lead in leads
    ]
    by_length = int(((alone <= FALSE_DISCOVERIES) & (adjusted > FALSE_DISCOVERIES)).sum())
    return Slices(found, len(adjusted), by_length, sum(opposite), len(margins))


def _slice(tested: Tested, lead: Lead, margins: Values, prompts: Codes, p_value: float, opposite: bool) -> Slice:
    ours, theirs = (_by_prompt(margins[each], prompts[each]) for each in pairs_with(tested, lead.feature))
    also = [(tested.names[i], tested.types[i]) for i in lead.also]
    return Slice(
        name=tested.names[lead.feature],
        type=tested.types[lead.feature],
        favour=_half_difference(ours, theirs),
        only_chosen=_mean(ours),
        only_rejected=_mean(theirs),
        p_value=p_value,
        opposite_signs=opposite,
        also=also,
    )


def _opposite_signs(tested: Tested, number: int, margins: Values) -> bool:
    """Applies RaVL's rule: the gaps in accuracy to pairs without the feature have opposite signs for the two sides."""
    right = margins > 0
    ours, theirs = pairs_with(tested, number)
    rest = np.ones(len(margins), dtype=bool)
    rest[ours] = rest[theirs] = False
    if not rest.any():
        return False
    gaps = [right[each].mean() - right[rest].mean() for each in (ours, theirs)]
    return bool(gaps[0] * gaps[1] < 0)


def _by_prompt(margins: Values, prompts: Codes) -> Values:
    """Returns the mean margin of each prompt, which is what the tests compare, too."""
    _, place = np.unique(prompts, return_inverse=True)
    means: Values = np.bincount(place, weights=margins) / np.bincount(place)
    return means


def _mean(values: Values) -> Estimate:
    from scipy.stats import ttest_1samp

    if np.ptp(values) == 0:
        return Estimate(float(values[0]), math.nan, math.nan, len(values))
    interval = ttest_1samp(values, 0.0).confidence_interval(LEVEL)
    return Estimate(float(values.mean()), float(interval.low), float(interval.high), len(values))


def _half_difference(ours: Values, theirs: Values) -> Estimate:
    """Estimates half the difference of two means with Welch's interval."""
    from scipy.stats import ttest_ind

    value, num = float(ours.mean() - theirs.mean()) / 2, len(ours) + len(theirs)
    if np.ptp(ours) == np.ptp(theirs) == 0:
        return Estimate(value, math.nan, math.nan, num)
    interval = ttest_ind(ours, theirs, equal_var=False).confidence_interval(LEVEL)
    return Estimate(value, float(interval.low) / 2, float(interval.high) / 2, num)
