"""Pairs of attributes that are rarely seen together although each is frequent: where a shortcut leads astray."""

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.auditing.entry import Entry
from align.auditing.features import FEWEST
from align.auditing.repeats import Compared, Seen
from align.auditing.significance import Flags, Numbers, Values
from align.evaluation.statistics.group_metrics import NAMED_GROUPS

COMMON, COUNTER = NAMED_GROUPS
LOW = -1.0  # bits: seen at most half as often together as if neither depended on the other
LEAST_EXPECTED = 5.0  # rows together, below which being rare is chance
_SHOWN = 20
_SEED = 0


@dataclass(frozen=True)
class RarePair:
    """Two values of two columns that are seen together less often than their frequencies say."""

    first: str  # as `column=value`
    second: str
    n_first: int  # different rows with the one
    n_second: int  # with the other
    n: int  # with both
    expected: float  # what `n` would be if neither depended on the other
    pmi: float | None  # pointwise mutual information in bits; None where no row has both


@dataclass(frozen=True)
class AttributeFinding:
    """What looking at pairs of attributes found."""

    columns: list[str]
    n: int  # different rows that were counted
    num_frequent: int  # pairs of frequent values
    num_rare: int  # of those, how many are rarely seen together
    num_unseen: int  # of those, how many are in no row
    rare: list[RarePair]  # the rarest for what was expected; unseen ones first
    counter: int  # rows with a rare pair
    common: int  # as many without, none of whose pairs is seen less often than expected
    shared_prompts: int  # rows in neither group whose prompt a row of a group has


class Grouped(NamedTuple):
    """What was found, and the group of each row; empty where it stays where it is."""

    finding: AttributeFinding | None
    groups: list[str]
    sentences: list[str]


class _PairCounts(NamedTuple):
    """How often the values of two columns meet."""

    at: Numbers  # `(N,)` cell of each row
    pmi: Values  # `(cells,)` in bits, minus infinity where no row is
    frequent: Flags  # `(cells,)` whether both values are frequent enough to say something
    n: Values  # `(cells,)` rows
    expected: Values  # `(cells,)` rows, if neither depended on the other
    margins: tuple[Values, Values]  # `(cells,)` rows with the one value, and with the other
    values: tuple[Numbers, Numbers]  # `(cells,)` numbers of both values


class AttributeData:
    """Takes up the attributes of every row."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)
        self._values = array("q")
        self._numbers: list[dict[str, int]] = [{} for _ in columns]

    def add(self, entry: Entry) -> None:
        """Takes a row up."""
        for known, value in zip(self._numbers, entry.attributes, strict=True):
            self._values.append(known.setdefault(value, len(known)))

    def find(self, seen: Seen, rows: Compared, left_out: Flags) -> Grouped:
        """Gives a group to different rows with a rare pair, and to as many without; none to rows that are left out."""
        values = np.frombuffer(self._values, dtype=np.int64).reshape(-1, len(self.columns))
        counted = np.flatnonzero(rows.distinct)
        groups = [""] * len(values)
        if len(counted) < FEWEST:
            return Grouped(None, groups, [
                f"There are {len(counted)} different rows, and pairs of attributes need {FEWEST}: nothing can be said "
                "about which are rarely seen together."
            ])  # fmt: skip
        rare: list[RarePair] = []
        num_frequent = 0
        is_counter, is_common = np.zeros(len(counted), dtype=bool), np.ones(len(counted), dtype=bool)
        for one, other in combinations(range(len(self.columns)), 2):
            table = _count(values[counted, one], values[counted, other])
            low = table.frequent & (table.pmi <= LOW)
            num_frequent += int(table.frequent.sum())
            is_counter |= low[table.at]
            is_common &= (table.frequent & (table.pmi >= 0))[table.at]
            rare += [self._name(table, int(cell), one, other) for cell in np.flatnonzero(low)]
        if not num_frequent:
            return Grouped(None, groups, [
                f"{_listed(self.columns)}: a pair of values can be judged if each stands in {FEWEST} rows and both "
                f"are expected together in {LEAST_EXPECTED:.0f}, and no pair is so frequent. Take columns with fewer "
                "values."
            ])  # fmt: skip
        free = ~left_out[counted]
        counter, common = counted[is_counter & free], counted[is_common & free].tolist()
        common = random.Random(_SEED).sample(common, min(len(common), len(counter)))
        for name, members in ((COUNTER, counter.tolist()), (COMMON, common)):
            for row in members:
                groups[row] = name
        rare.sort(key=lambda each: (each.n > 0, each.pmi or 0.0, -each.expected, each.first, each.second))
        finding = AttributeFinding(
            columns=self.columns, n=len(counted), num_frequent=num_frequent, num_rare=len(rare),
            num_unseen=sum(not each.n for each in rare), rare=rare[:_SHOWN], counter=len(counter), common=len(common),
            shared_prompts=_shared(seen, np.array([bool(each) for each in groups]), left_out),
        )  # fmt: skip
        return Grouped(finding, groups, _doubts(finding))

    def _name(self, table: _PairCounts, cell: int, one: int, other: int) -> RarePair:
        first, second = (
            f"{self.columns[column]}={list(self._numbers[column])[numbers[cell]]}"
            for column, numbers in zip((one, other), table.values, strict=True)
        )
        n_first, n_second, n = (int(each[cell]) for each in (*table.margins, table.n))
        return RarePair(
            first, second, n_first, n_second, n, float(table.expected[cell]), float(table.pmi[cell]) if n else None
        )


def pmi(n: Values, expected: Values) -> Values:
    """Computes pointwise mutual information in bits, of how often two things are together and how often by chance.

    Example:
        >>> pmi(np.array([5.0, 0.0]), np.array([20.0, 20.0]))
        array([ -2., -inf])
    """
    with np.errstate(divide="ignore"):
        return np.log2(n / expected)


def _count(one: Numbers, other: Numbers) -> _PairCounts:
    first, first_at = np.unique(one, return_inverse=True)
    second, second_at = np.unique(other, return_inverse=True)
    # Of values that few rows have no cell is frequent: ids as attributes then make no table of their square.
    n_first, n_second = (np.bincount(each).astype(float) for each in (first_at, second_at))
    place_first, place_second = (np.cumsum(n >= FEWEST) * (n >= FEWEST) for n in (n_first, n_second))
    rows, columns = place_first.max(initial=0) + 1, place_second.max(initial=0) + 1  # 0 is all that are not frequent
    at = place_first[first_at] * columns + place_second[second_at]
    n = np.bincount(at, minlength=rows * columns).astype(float)
    of_first: Values = np.repeat(np.bincount(place_first, weights=n_first, minlength=rows), columns)
    of_second: Values = np.tile(np.bincount(place_second, weights=n_second, minlength=columns), rows)
    expected = np.maximum(of_first * of_second / len(one), np.finfo(float).tiny)
    cell = np.arange(rows * columns)
    is_frequent: NDArray[np.bool_] = (cell // columns > 0) & (cell % columns > 0) & (expected >= LEAST_EXPECTED)
    names = tuple(
        np.r_[-1, known[count >= FEWEST]][where]
        for known, count, where in ((first, n_first, cell // columns), (second, n_second, cell % columns))
    )
    return _PairCounts(at, pmi(n, expected), is_frequent, n, expected, (of_first, of_second), (names[0], names[1]))


def _shared(seen: Seen, has_group: Flags, left_out: Flags) -> int:
    """Counts rows that stay in training although a row with their prompt does not."""
    prompts = seen.part("prompt")
    if (prompts == prompts[0]).all():  # outcomes may have none
        return 0
    return int((np.isin(prompts, prompts[has_group]) & ~has_group & ~left_out).sum())


def _doubts(found: AttributeFinding) -> list[str]:
    listed = _listed(found.columns)
    if not found.num_rare:
        return [
            f"No pair of frequent values of {listed} is rarer than half of what chance predicts, so there is no "
            "counterfactual group."
        ]
    sentences = []
    if 0 < found.counter < FEWEST:
        sentences.append(
            f"Only {found.counter} rows have a rare pair of {listed}: a difference between groups of that size says "
            "little. Write more such rows."
        )
    if found.common < found.counter:
        sentences.append(
            f"Only {found.common} rows have no pair of {listed} that is seen less often than expected, for "
            f"{found.counter} that have a rare one."
        )
    if found.shared_prompts:
        sentences.append(
            f"{found.shared_prompts:,} rows that stay for training have the prompt of a row of a group: an audit of "
            "kept.jsonl with `--eval counterfactual.jsonl` names them."
        )
    return sentences


def _listed(columns: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in columns)
