"""Cues in texts that have a label or an outcome: letters of the gold, classes, and what was observed."""

from collections.abc import Iterator

import numpy as np

from align.auditing.features import COUNTS, FEWEST, Features, is_length
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
        p_raw=p_raw, p_values=p_values, z=z, by_class=hits[at], num_texts=int(rows),
        unit=unit, feature=of, is_hit=is_hit,
    )  # fmt: skip


def _counts(features: Features, kept: Flags) -> Iterator[tuple[str, str, Numbers]]:
    """Says which texts have any of what is counted, and which are longer than most."""
    for number, name in enumerate(COUNTS):
        column = features.sizes[:, number]
        least = np.median(column[kept]) if number == 0 and kept.any() else 1 if name == "lines" else 0
        words = {0: "more than the median of characters", 1: "several lines"}.get(number, f"any {name}")
        yield words, "count", np.flatnonzero((column > least) & kept)


def _occurrences(
    at: Numbers, label: Numbers, tests: Numbers, text: Numbers, feature: Numbers, labels: Numbers, num: int
) -> tuple[Numbers, Numbers, Flags]:
    """Lists the texts of some tests, sorted by test."""
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

    Ranks of the outcome lose what a straight line through the ranks of the confounders explains of them, and so do the
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
    known = [np.ones(num_rows), *(rankdata(column) for column in confounders[kept].T)]
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
        by_class=np.zeros((len(names), 0)), num_texts=num_rows,
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
