"""Which features go with a label, of all that were tested: what is left after corrections, and what can be done."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from align.auditing.row_findings import SHUFFLE
from align.auditing.significance import FALSE_DISCOVERIES, POINTS, POINTS_WITHIN, Numbers, Tested, adjust
from align.evaluation.statistics.metrics import wilson
from align.methods import METHODS

_SAME = 0.8  # of the units, with their side, of two cues that are shown as one
_PART = 0.6  # of the units of a weaker cue that shares a word
_AT_ONCE = 256  # cues that are compared with all stronger ones; more take more memory


class Lead(NamedTuple):
    """A cue under which others are shown."""

    test: int  # its number
    feature: int  # its number there
    is_positive: bool  # whether it goes with the target
    words: set[str]  # of its name, and of those shown under it
    also: list[int]  # numbers of the features that are shown under it


class Overlaps(NamedTuple):
    """The stronger cues that one shares many units with."""

    stronger: Numbers  # `(S,)` their numbers, ascending
    # `(S,)` both are in nearly the same units; otherwise this cue is in part of the other's
    is_same: NDArray[np.bool_]


def fold(tests: Sequence[Tested], picked: Sequence[tuple[float, int, int]]) -> list[Lead]:
    """Puts a cue under the strongest in the same units, or in more with a word in common: one habit is shown once."""
    groups: dict[tuple[int, bool], list[int]] = {}
    for number, (_, test, feature) in enumerate(picked):
        groups.setdefault((test, bool(tests[test].effect[feature] > 0)), []).append(number)
    leads: dict[int, Lead] = {}
    for (test, is_positive), members in groups.items():
        tested, features = tests[test], [picked[number][2] for number in members]
        for place, overlaps in enumerate(find_overlaps(tested, features)):
            feature = features[place]
            words = set() if tested.types[feature] in ("count", "place") else set(tested.names[feature].split(" "))
            for stronger, is_same in zip(overlaps.stronger, overlaps.is_same, strict=True):
                lead = leads.get(members[stronger])
                if lead and (is_same or words & lead.words):
                    lead.also.append(feature)
                    lead.words.update(words)
                    break
            else:
                leads[members[place]] = Lead(test, feature, is_positive, words, [])
    return [leads[number] for number in sorted(leads)]


def find_overlaps(tested: Tested, features: Sequence[int]) -> Iterator[Overlaps]:
    """Finds for each cue of one test what it shares with those before it, by products of sparse matrices."""
    telling = [np.unique(2 * units + hit) for units, hit in map(tested.units, features)]
    sizes = np.array([len(each) for each in telling])
    has = csr_array(
        (np.ones(sizes.sum(), dtype=np.int32), np.concatenate(telling), np.concatenate([[0], np.cumsum(sizes)]))
    )
    for start in range(0, len(features), _AT_ONCE):
        stop = min(start + _AT_ONCE, len(features))
        common = (has[start:stop] @ has[:stop].T).tocoo()
        weaker, stronger, both = common.row + start, common.col, common.data
        is_same = both >= _SAME * (sizes[weaker] + sizes[stronger] - both)
        kept = np.flatnonzero((stronger < weaker) & (is_same | (both >= _PART * sizes[weaker])))
        kept = kept[np.lexsort((stronger[kept], weaker[kept]))]
        for low, high in np.searchsorted(weaker[kept], [[cue, cue + 1] for cue in range(start, stop)]):
            yield Overlaps(stronger[kept[low:high]], is_same[kept[low:high]])


MOST_ALSO = 8
_EXAMPLES = 3
_SURE = 1.96


@dataclass(frozen=True)
class Cue:
    """One feature that goes with a label."""

    name: str  # such as `begins with "sure"`
    where: str  # what has it
    goes_with: str  # the label
    n: int  # units that have it and can tell: pairs of prompts counted once, questions, texts
    hits: float  # of those, how many are with the label
    share: float  # of hits; the rank correlation of outcomes
    expected: float  # what the share would be without an effect
    low: float  # end of the 95 % interval of the share
    high: float
    effect: float  # share above what is expected
    within_length: float  # the same among units of similar length
    p_value: float  # adjusted (Benjamini-Hochberg)
    z: float  # what cues are ranked by
    also: list[str]  # features of the same units
    rows: list[str]  # three in which it is so
    todo: list[str]  # what can be done
    is_share: bool  # else a rank correlation


@dataclass(frozen=True)
class Cues:
    """What came of the tests."""

    found: list[Cue]  # the strongest first
    num_tested: int  # features
    num_by_length: int  # features that pass alone and not among units of similar length
    unit: str  # what is counted


def find_cues(tests: Sequence[Tested], unit: str, kind: str, name_row: Callable[[int], str]) -> Cues:
    """Picks what passes a false discovery rate of 5 % over all tests, with 10 points or more, and 5 at one length."""
    adjusted, alone = (
        adjust(np.concatenate([getattr(each, name) for each in tests] or [np.zeros(0)]))
        for name in ("p_values", "p_raw")
    )
    starts = np.cumsum([0, *(len(test.names) for test in tests)])
    picked: list[tuple[float, int, int]] = []
    by_length = 0
    for number, test in enumerate(tests):
        own, raw = (each[starts[number] : starts[number + 1]] for each in (adjusted, alone))
        strong = np.abs(test.effect) > POINTS
        if test.opposites and not test.opposites[0]:
            strong &= test.effect > 0
        passes = strong & (own <= FALSE_DISCOVERIES) & (np.abs(test.within) > POINTS_WITHIN)
        if not test.part:
            by_length += int((strong & ~passes & (raw <= FALSE_DISCOVERIES)).sum())
        picked += [(-abs(test.z[i]), number, int(i)) for i in np.flatnonzero(passes)]
    found = [
        _cue(tests[lead.test], lead, float(adjusted[starts[lead.test] + lead.feature]), kind, name_row)
        for lead in fold(tests, sorted(picked))
    ]
    return Cues(found, len(adjusted), by_length, unit)


def describe(name: str, kind: str) -> str:
    """Words a feature.

    Example:
        >>> describe("of course", "begins with"), describe("more digits", "count")
        ('begins with "of course"', 'more digits')
    """
    if kind in ("count", "place"):
        return name
    return f'{kind} "{name}"' if kind.endswith("with") else f'"{name}"'


def _cue(test: Tested, lead: Lead, p_value: float, kind: str, name_row: Callable[[int], str]) -> Cue:
    i, positive = lead.feature, lead.is_positive
    units, hit = test.units(i)
    n, effect, within = int(test.n[i]), float(test.effect[i]), float(test.within[i])
    if test.are_shares:
        hits = float(test.hits[i]) if positive else n - float(test.hits[i])
        expected = float(test.expected[i]) if positive else 1 - float(test.expected[i])
        interval = wilson(round(hits), n)
        share, low, high = hits / n, interval.low, interval.high
        effect, within = abs(effect), within if positive else -within
    else:
        hits, expected, share = float(test.hits[i]), 0.0, effect
        reach = _SURE * abs(effect / test.z[i])
        low, high = max(-1.0, effect - reach), min(1.0, effect + reach)
    also = sorted(lead.also, key=lambda each: test.types[each] != "count")  # a length explains words that come with it
    name = describe(test.names[i], test.types[i])
    goes_with = test.targets[i] if positive else test.opposites[i]
    surplus = round(n * abs(effect) / (1 - min(expected, 0.99)))
    return Cue(
        name=name,
        where=f"{test.where}, where {test.part}" if test.part else test.where,
        goes_with=goes_with,
        n=n,
        hits=hits,
        share=share,
        expected=expected,
        low=low,
        high=high,
        effect=effect,
        within_length=within,
        p_value=p_value,
        z=float(test.z[i]),
        also=[describe(test.names[each], test.types[each]) for each in also[:MOST_ALSO]],
        rows=[name_row(int(each)) for each in units[hit == positive][:_EXAMPLES]],
        todo=remedies(kind, test.where, test.types[i], test.names[i], surplus),
        is_share=test.are_shares,
    )


def remedies(kind: str, where: str, feature: str, name: str, surplus: int) -> list[str]:
    """Lists what can be done, the cheapest first; without `surplus` rows that have the cue, the rest would be none."""
    if feature == "place":
        return [SHUFFLE]
    phrase = "" if feature == "count" else f" with the phrase {name!r}"
    found = []
    if kind == "pairs":
        method = next((each for each, record in METHODS.items() if record.makes_reward_model and record.augment), "")
        if method:
            found.append(
                f"Add ties{phrase} on either side: `align augment FILE --method {method} --model MODEL --out OUT` "
                "makes neutral pairs."
            )
        found.append(f"Leave out about {surplus:,} of the pairs that have it on this side only, until both are even.")
        found.append(_audit_line(feature, name))
    elif kind == "questions":
        if where == "question":
            found.append("`dataset.shuffle_options: true` parts the letter from what the question says.")
        else:
            found.append(
                "Rewrite wrong options until they have it as often as right ones, or leave such questions out."
            )
        found.append(_audit_line(feature, name))
    elif kind == "outcomes":
        found.append(
            "If it moves the outcome without being what is wanted, count it into a column of its own and name that "
            "among `confounders`."
        )
    else:
        found.append(f"Leave out or add about {surplus:,} rows, until every label has it equally often.")
        found.append(_audit_line(feature, name))
    return found


def _audit_line(feature: str, name: str) -> str:
    """Words the line of a recipe that logs how often a policy says it."""
    if feature == "count":
        what = name.split(" ", 1)[-1]
        return f"Watch it in training: `audit_funcs: [./cues.py:count]`, which returns the {what} of each completion."
    pattern = r"\s*".join(map(re.escape, name.split(" ")))  # words and marks, with spaces between or without
    begins, ends = feature == "begins with", feature == "ends with"
    start = r"^\s*" if begins else r"\b" * (name[0].isalnum() and name.isascii())
    end = r"\s*$" if ends else r"\b" * (name[-1].isalnum() and name.isascii())
    code = f'float(bool(re.search(r"{start}{pattern}{end}", text.lower())))'
    return f"Watch it in training: `audit_funcs: [./cues.py:says]`, which returns `{code}` for each completion."
