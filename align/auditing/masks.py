"""Whether a text that should not give the gold away does: its words, tested as cues of the gold are."""

from array import array

import numpy as np

from align.auditing.cue_data import compare_labels
from align.auditing.cues import MASKED
from align.auditing.entry import Entry
from align.auditing.features import FEWEST, Texts
from align.auditing.repeats import Compared, Seen, first_of_prompt
from align.auditing.significance import Tested
from rewards.reading.options import LETTERS

WITH_GOLD = ("questions", "prompts", "sft")
_MOST_LABELS, _MOST_TESTED = 1_000, 50


class MaskData:
    """Takes up the text of a column and the gold of every row."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._texts = Texts()
        self._golds = array("q")
        self._names: dict[str, int] = {}

    def add(self, entry: Entry) -> None:
        """Takes a row up."""
        gold = entry.label if entry.gold is None else LETTERS[entry.gold]
        if gold is None and len(entry.sides) == 1:
            gold = entry.sides[0].strip()
        if gold is not None and len(self._names) < _MOST_LABELS:
            self._names.setdefault(gold, len(self._names))
        self._golds.append(-1 if gold is None else self._names.get(gold, -1))
        self._texts.add(entry.masked or "")

    def find(self, seen: Seen, rows: Compared) -> Tested | str:
        """Tests which words go with a gold; returns a sentence where there are too few rows."""
        golds = np.frombuffer(self._golds, dtype=np.int64)
        kept = first_of_prompt(rows.distinct & (golds >= 0), seen)
        counts = np.bincount(golds[kept], minlength=len(self._names) + 1)
        common = np.flatnonzero(counts >= FEWEST)[:_MOST_TESTED]
        if len(common) < 2:
            return (
                f"`{self.column}`: fewer than two golds stand in {FEWEST} different rows, so nothing can be said "
                "about what gives them away."
            )
        number = np.full(len(counts), -1)
        number[common] = np.arange(len(common))
        golds, names = number[golds], list(self._names)  # -1, no gold, is the last of the numbers, which is none
        kept &= golds >= 0
        return compare_labels(MASKED, kept, golds, [names[each] for each in common], self._texts.features(kept))
