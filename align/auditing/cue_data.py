"""Takes up texts of every row, and tests them once it is known which rows count."""

from array import array
from collections.abc import Iterator

import numpy as np

from align.auditing.cues import Cues, find_cues
from align.auditing.entry import Entry
from align.auditing.features import COUNTS, FEWEST, Features, Texts, is_length
from align.auditing.repeats import Compared, Seen, first_of_prompt
from align.auditing.sides import Sides, compare_choices
from align.auditing.significance import (
    FALSE_DISCOVERIES,
    NUM_STRATA,
    Flags,
    Numbers,
    Tested,
    Values,
    fisher,
    of_z,
    strata_of,
    stricter,
    sums,
)
from align.auditing.subsets import Parts, against_rest
from rewards.correction.diagnostics import bins
from rewards.reading.options import LETTERS

MOST_WORDS = 12_000_000  # each takes some 130 bytes while features are tested, and more rows find hardly other cues
LEAST_ROWS = 5_000  # are tested however long they are
_MOST_LABELS = 1_000
_SEED = 0
UNITS = {
    "pairs": "prompts with pairs in which one answer has it",
    "questions": "questions",
    "prompts": "rows",
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
        self._levels: dict[str, int] = {}  # numbers of the labels of categories

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
            self._confounders.extend(
                float(self._levels.setdefault(each, len(self._levels))) if isinstance(each, str) else each
                for each in entry.confounders
            )
            self._num_confounders = len(entry.confounders)

    def find(self, seen: Seen, rows: Compared, parts: Parts | None = None) -> tuple[Cues | None, list[str]]:
        """Looks for cues among distinct rows and in parts of them.

        None where nothing is tested, and sentences on what cannot be said.
        """
        kept = rows.distinct
        if self.kind in ("questions", "sft"):
            kept = first_of_prompt(kept, seen)
        words = self._sides.num_words + self._prompts.num_words
        kept, sampled = _sample(kept, max(LEAST_ROWS, MOST_WORDS * len(kept) // max(1, words)))
        _, cluster = np.unique(seen.part("prompt"), return_inverse=True)
        tests, sentences = self._tested(kept, cluster, rows)
        if parts is not None and self.kind in ("pairs", "questions", "sft"):
            for part, inside in parts.found(FEWEST, kept, self._golds()):
                found = self._tested(inside, cluster, rows)[0]
                tests += [against_rest(each, tests[i])._replace(part=part) for i, each in enumerate(found)]
        tests = [each for each in tests if each.names]
        if not tests:
            sentences = sentences or [
                f"No feature is in {FEWEST} rows that could tell: nothing can be said about cues."
            ]
            return None, [*sampled, *sentences]
        return find_cues(tests, UNITS[self.kind], self.kind, seen.name), [*sampled, *sentences]

    def _tested(self, kept: Flags, cluster: Numbers, rows: Compared) -> tuple[list[Tested], list[str]]:
        if self.kind == "pairs":
            return self._pairs(kept, cluster)
        if self.kind == "questions":
            return self._questions(kept, cluster)
        if self.kind == "sft":
            return self._classes(kept, rows.has_classes)
        if self.kind == "outcomes":
            return self._observed(kept, cluster)
        return [], ["Prompts alone have no label that a cue could go with: rows were compared, nothing else."]

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


_BLOCK = 256  # features at once


def compare_labels(where: str, kept: Flags, labels: Numbers, names: list[str], features: Features) -> Tested:
    """Tests which features a label has more often, by Fisher's exact test; one text of each prompt is kept."""
    text, feature, feature_names, types, _ = features.beside(_counts(features, kept))
    stays = kept[text]
    text, feature = text[stays], feature[stays]
    num, classes = len(feature_names), len(names)
    stratum = np.zeros(len(kept), dtype=np.int64)
    stratum[kept] = strata_of(features.sizes[kept, 0].astype(float))

    def count(*codes: tuple[Numbers, int]) -> Values:
        flat, size = np.zeros(len(codes[0][0]), dtype=np.int64), 1
        for values, length in codes:
            flat, size = flat * length + values, size * length
        return np.bincount(flat, minlength=size).reshape([length for _, length in codes]).astype(float)

    both = count((feature, num), (stratum[text], NUM_STRATA), (labels[text], classes))  # F, strata, C
    total = count((stratum[kept], NUM_STRATA), (labels[kept], classes))  # strata, C
    n_in, all_in = both.sum(axis=2), total.sum(axis=1)
    hits, n, of_label = both.sum(axis=1), n_in.sum(axis=1), total.sum(axis=0)
    rows = total.sum()
    usable = (n >= FEWEST) & (n <= rows - FEWEST)
    at, label = (
        each.ravel() for each in np.meshgrid(np.flatnonzero(usable), np.flatnonzero(of_label >= FEWEST), indexing="ij")
    )
    hit, trials, with_label = hits[at, label], n[at], of_label[label]
    share, rest = hit / trials, (with_label - hit) / (rows - trials)
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = with_label / rows
        z = (share - rest) / np.sqrt(pooled * (1 - pooled) * (1 / trials + 1 / (rows - trials)))
        n_s, label_s = n_in[at], total[:, label].T
        over = (both[at, :, label] - n_s * label_s / np.maximum(1, all_in)).sum(axis=1)
        room = (n_s * (all_in - n_s) / np.maximum(1, all_in)).sum(axis=1)
        spread = n_s * label_s * (all_in - n_s) * (all_in - label_s) / np.maximum(1, all_in**2 * (all_in - 1))
        z_within, within = over / np.sqrt(spread.sum(axis=1)), over / room
    of_length = is_length(feature_names, types)[at]
    z, z_within = np.nan_to_num(z), np.where(of_length, np.nan_to_num(z), np.nan_to_num(z_within))
    p_raw = fisher(hit, trials, with_label, np.full(len(hit), rows))
    p_values = stricter(p_raw, z, np.where(of_length, p_raw, of_z(z_within)), z_within)
    unit, of, is_hit = _occurrences(
        at, label, np.flatnonzero(p_values <= FALSE_DISCOVERIES), text, feature, labels, num
    )
    return Tested(
        where=where,
        names=[feature_names[i] for i in at],
        types=[types[i] for i in at],
        targets=[names[i] for i in label],
        opposites=[""] * len(at),  # less of one label is more of another, which has a test of its own
        n=trials, hits=hit, expected=rest, effect=share - rest,
        within=np.where(of_length, share - rest, np.nan_to_num(within)),
        p_raw=p_raw, p_values=p_values, z=z, are_shares=True,
        unit=unit, feature=of, is_hit=is_hit,
    )  # fmt: skip


def _counts(features: Features, kept: Flags) -> Iterator[tuple[str, str, Numbers]]:
    """Says which texts have any of what is counted, and which are longer than most of all, kept or not."""
    for number, name in enumerate(COUNTS):
        column = features.sizes[:, number]
        least = np.median(column) if number == 0 and kept.any() else 1 if name == "lines" else 0
        words = {0: "more than the median of characters", 1: "several lines"}.get(number, f"any {name}")
        yield words, "count", np.flatnonzero((column > least) & kept)


def _occurrences(
    at: Numbers, label: Numbers, tests: Numbers, text: Numbers, feature: Numbers, labels: Numbers, num: int
) -> tuple[Numbers, Numbers, Flags]:
    order = np.lexsort((text, feature))
    text, feature = text[order], feature[order]
    starts = np.searchsorted(feature, np.arange(num + 1))
    length = starts[at[tests] + 1] - starts[at[tests]]
    test = np.repeat(tests, length)
    place = np.arange(len(test)) - np.repeat(np.cumsum(length) - length, length) + starts[at[test]]
    return text[place], test, labels[text[place]] == label[test]


def compare_outcomes(
    kept: np.ndarray, outcome: Values, confounders: Values, cluster: Numbers, features: Features
) -> Tested:
    """Tests which features go with a higher or a lower outcome.

    Ranks of the outcome lose what the confounders explain of them, by their values or twentieth parts, and so do the
    features; in the second test the strata of length are taken out, too. Texts of one prompt count as one: the test is
    robust to what they share. Outcomes are `(N,)`, confounders `(N, C)`; `cluster` numbers each text's prompt.
    """
    from scipy.stats import rankdata

    text, feature, names, types, _ = features.beside(_counts(features, kept))
    stays = kept[text]
    rows = np.flatnonzero(kept)
    place = np.cumsum(kept) - 1
    text, feature = place[text[stays]], feature[stays]
    num, num_rows = len(names), len(rows)
    n = np.bincount(feature, minlength=num).astype(float)
    usable = np.flatnonzero((n >= FEWEST) & (n <= num_rows - FEWEST))
    new = np.full(num, -1)
    new[usable] = np.arange(len(usable))
    stays = new[feature] >= 0
    text, feature = text[stays], new[feature[stays]]
    order = np.lexsort((text, feature))
    text, feature = text[order], feature[order]
    names, types, n = [names[i] for i in usable], [types[i] for i in usable], n[usable]

    y = rankdata(outcome[kept])
    parts = [bins(column) for column in confounders[kept].T]
    known = [
        np.ones(num_rows),
        *(codes == each for codes in parts for each in range(1, int(codes.max(initial=0)) + 1)),
    ]
    stratum = strata_of(features.sizes[kept, 0].astype(float))
    lengths = [(stratum == each).astype(float) for each in range(1, NUM_STRATA)]
    _, groups = np.unique(cluster[kept], return_inverse=True)
    starts = np.searchsorted(feature, np.arange(len(usable) + 1))
    raw = _correlate(y, np.stack(known, axis=1), groups, text, starts)
    within = _correlate(y, np.stack([*known, *lengths], axis=1), groups, text, starts)
    effect, z = raw
    effect_within, z_within = (np.where(is_length(names, types), a, b) for a, b in zip(raw, within, strict=True))
    p_raw = of_z(z)
    p_values = stricter(p_raw, z, of_z(z_within), z_within)
    median = np.median(outcome[kept]) if num_rows else 0.0
    above = outcome[kept][text] > median
    return Tested(
        where="text", names=names, types=types,
        targets=["a higher outcome"] * len(names), opposites=["a lower outcome"] * len(names),
        n=n, hits=sums(feature, above, len(names)),
        expected=np.zeros(len(names)), effect=effect, within=effect_within, p_raw=p_raw, p_values=p_values, z=z,
        are_shares=False,
        unit=rows[text], feature=feature, is_hit=above,
    )  # fmt: skip


def _correlate(y: Values, known: Values, groups: Numbers, text: Numbers, starts: Numbers) -> tuple[Values, Values]:
    """Computes `(F,)` partial correlations of features with an outcome `y`, `(N,)`, and their deviates.

    `known` is `(N, K)`, what is taken out of both, with a column of ones; `groups` numbers each text's group. `text`
    has the `(E,)` texts that have a feature, sorted by feature, each of which begins at `starts`, `(F + 1,)`.
    """
    basis, _ = np.linalg.qr(known)
    rest = y - basis @ (basis.T @ y)
    num_groups, length = int(groups.max(initial=-1)) + 1, float(np.sqrt((rest**2).sum()))
    found = []
    for first in range(0, len(starts) - 1, _BLOCK):
        last = min(first + _BLOCK, len(starts) - 1)
        block = np.zeros((len(y), last - first))
        column = np.repeat(np.arange(last - first), np.diff(starts[first : last + 1]))
        block[text[starts[first] : starts[last]], column] = 1.0
        block -= basis @ (basis.T @ block)
        products = block * rest[:, None]
        by_group = np.zeros((num_groups, last - first))
        np.add.at(by_group, groups, products)
        over = products.sum(axis=0)
        sizes = np.sqrt((block**2).sum(axis=0))
        spread = np.sqrt((by_group**2).sum(axis=0))
        found.append(np.stack([over / np.maximum(sizes * length, 1e-12), over / np.maximum(spread, 1e-12)]))
    joined = np.concatenate(found, axis=1) if found else np.zeros((2, 0))
    return joined[0], joined[1]
