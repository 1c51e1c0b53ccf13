"""Puts weaker cues under stronger ones that are in the same units, so that one habit of writing is shown once."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from align.auditing.significance import Numbers, Tested

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
    """Puts a cue under the strongest in the same units, or in more with a word in common; the strongest come first."""
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
