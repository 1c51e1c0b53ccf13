"""Takes up texts of every row, and tests them once it is known which rows count."""

from array import array

import numpy as np

from align.auditing.cues import Cues, find_cues
from align.auditing.entry import Entry
from align.auditing.features import FEWEST, Texts
from align.auditing.labels import compare_labels, compare_outcomes
from align.auditing.rows import Compared, Seen, first_of_prompt
from align.auditing.sides import Sides, compare_choices
from align.auditing.significance import Flags, Numbers, Tested
from rewards.reading.options import LETTERS

MOST_WORDS = 12_000_000  # each takes some 130 bytes while features are tested, and more rows find hardly other cues
LEAST_ROWS = 5_000  # are tested however long they are
_MOST_LABELS = 1_000
_SEED = 0
UNITS = {
    "pairs": "prompts with pairs in which one answer has it",
    "questions": "questions",
    "sft": "rows",
    "outcomes": "texts",
}


class CueData:
    """What cues are looked for in."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._sides, self._prompts = Texts(), Texts()
        self._gold = array("q")
        self._num_sides = array("q")
        self._labels: dict[str, int] = {}
        self._outcomes = array("d")
        self._confounders = array("d")
        self._num_confounders = 0

    def add(self, entry: Entry) -> None:
        """Takes a row up."""
        if self.kind in ("pairs", "questions"):
            for side in entry.sides:
                self._sides.add(side)
            self._num_sides.append(len(entry.sides))
            self._gold.append(-1 if entry.gold is None else entry.gold)
        if self.kind in ("questions", "sft"):
            self._prompts.add(entry.prompt)
        if self.kind == "sft":
            label = entry.sides[0].strip() if entry.label is None else entry.label
            if len(self._labels) < _MOST_LABELS:  # texts of their own, not classes: no label is kept of the others
                self._labels.setdefault(label, len(self._labels))
            self._gold.append(self._labels.get(label, -1))
        if self.kind == "outcomes":
            self._sides.add(entry.sides[0])
            self._outcomes.append(entry.outcome if entry.outcome is not None else np.nan)
            self._confounders.extend(entry.confounders)
            self._num_confounders = len(entry.confounders)

    def find(self, seen: Seen, rows: Compared) -> tuple[Cues | None, list[str]]:
        """Looks for cues among distinct rows; None where nothing is tested, and sentences on what cannot be said."""
        kept = rows.distinct
        if self.kind in ("questions", "sft"):
            kept = first_of_prompt(kept, seen)
        words = self._sides.num_words + self._prompts.num_words
        kept, sampled = _sample(kept, max(LEAST_ROWS, MOST_WORDS * len(kept) // max(1, words)))
        _, cluster = np.unique(seen.part("prompt"), return_inverse=True)
        tests: list[Tested] = []
        sentences: list[str] = []
        if self.kind == "pairs":
            tests, sentences = self._pairs(kept, cluster)
        elif self.kind == "questions":
            tests, sentences = self._questions(kept, cluster)
        elif self.kind == "sft":
            tests, sentences = self._classes(kept, rows.has_classes)
        elif self.kind == "outcomes":
            tests, sentences = self._observed(kept, cluster)
        else:
            sentences = ["Prompts alone have no label that a cue could go with: rows were compared, nothing else."]
        tests = [each for each in tests if each.names]
        if not tests:
            sentences = sentences or [
                f"No feature is in {FEWEST} rows that could tell: nothing can be said about cues."
            ]
            return None, [*sampled, *sentences]
        return find_cues(tests, UNITS[self.kind], self.kind, seen.name), [*sampled, *sentences]

    def _pairs(self, kept: Flags, cluster: Numbers) -> tuple[list[Tested], list[str]]:
        ordered = kept & (self._golds() >= 0)
        if sentence := _too_few(int(ordered.sum()), "pairs with an order"):
            return [], [sentence]
        return [self._choose(ordered, cluster, are_pairs=True)], []

    def _questions(self, once: Flags, cluster: Numbers) -> tuple[list[Tested], list[str]]:
        if sentence := _too_few(int(once.sum()), "questions"):
            return [], [sentence]
        tests = [self._choose(once, cluster, are_pairs=False)]
        golds = self._golds()
        if len(np.unique(golds[once])) == 1:
            letter = LETTERS[int(golds[once][0])]
            return tests, [f"The right option is {letter} in every question: nothing can be said about other letters."]
        letters = list(LETTERS[: int(golds.max()) + 1])
        tests.append(compare_labels("question", once, golds, letters, self._prompts.features(once)))
        return tests, []

    def _classes(self, once: Flags, has_classes: bool) -> tuple[list[Tested], list[str]]:
        if not has_classes:
            return [], [
                "The completions are texts, not classes, so there is no label that a cue could go with. Name a column "
                "that has one with `--label`, or audit pairs."
            ]
        golds = self._golds()
        if len(np.unique(golds[once])) < 2:
            return [], [
                "All rows have one label: nothing can be said about what goes with it. Add rows of another one."
            ]
        if sentence := _too_few(int(once.sum()), "rows"):
            return [], [sentence]
        return [compare_labels("prompt", once, golds, list(self._labels), self._prompts.features(once))], []

    def _observed(self, kept: Flags, cluster: Numbers) -> tuple[list[Tested], list[str]]:
        outcome = np.frombuffer(self._outcomes, dtype=np.float64)
        if sentence := _too_few(int(kept.sum()), "texts"):
            return [], [sentence]
        if np.ptp(outcome[kept]) == 0:
            return [], ["Every text has the same outcome: nothing can be said about what goes with it."]
        confounders = np.frombuffer(self._confounders, dtype=np.float64).reshape(len(outcome), self._num_confounders)
        if len(np.unique(cluster)) == 1:  # no prompts: each text stands alone
            cluster = np.arange(len(outcome))
        sentences = [] if self._num_confounders else [
            "No confounders are named: a cue may go with the outcome because something else moves both."
        ]  # fmt: skip
        return [compare_outcomes(kept, outcome, confounders, cluster, self._sides.features(kept))], sentences

    def _choose(self, kept: Flags, cluster: Numbers, *, are_pairs: bool) -> Tested:
        sizes = np.frombuffer(self._num_sides, dtype=np.int64)
        of_set = np.repeat(np.arange(len(sizes)), sizes)
        features = self._sides.features(kept[of_set])
        # Sets that do not count lose their sides; the others are numbered anew, and named by their old number.
        sides_kept = kept[of_set]
        new_side = np.cumsum(sides_kept) - 1
        new_set = np.cumsum(kept) - 1
        features = features._replace(text=new_side[features.text], sizes=features.sizes[sides_kept])
        starts = np.cumsum(sizes) - sizes
        is_right = np.arange(len(of_set)) - starts[of_set] == self._golds()[of_set]
        _, clusters = np.unique(cluster[kept], return_inverse=True)
        sides = Sides(new_set[of_set[sides_kept]], is_right[sides_kept], clusters, are_pairs)
        tested = compare_choices(sides, features)
        return tested._replace(unit=np.flatnonzero(kept)[tested.unit])

    def _golds(self) -> Numbers:
        return np.frombuffer(self._gold, dtype=np.int64)


def _sample(kept: Flags, most: int) -> tuple[Flags, list[str]]:
    """Draws rows where there are more than are tested, and says so."""
    rows = np.flatnonzero(kept)
    if len(rows) <= most:
        return kept, []
    drawn = np.zeros(len(kept), dtype=bool)
    drawn[np.random.default_rng(_SEED).choice(rows, most, replace=False)] = True
    return drawn, [
        f"Cues were looked for in {most:,} rows, drawn from {len(rows):,} with seed {_SEED}; everything else is "
        "said of all rows."
    ]


def _too_few(num: int, what: str) -> str:
    if num >= FEWEST:
        return ""
    return f"There are {num} distinct {what}, and a test needs {FEWEST}: nothing can be said about cues."
