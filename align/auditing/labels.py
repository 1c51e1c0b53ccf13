"""Cues in texts that have a label: questions by the gold's letter, examples by their class."""

import numpy as np
from numpy.typing import NDArray

from align.auditing.features import FEWEST, Features
from align.auditing.significance import FALSE_DISCOVERIES, NUM_STRATA, fisher, of_z, strata_of
from align.auditing.tested import Numbers, Tested, Values, stricter
from align.auditing.words import COUNTS


def compare_labels(
    where: str, kept: NDArray[np.bool_], labels: Numbers, names: list[str], features: Features
) -> Tested:
    """Tests which features a label has more often than the other labels, by Fisher's exact test.

    Args:
        where: What the texts are.
        kept: `(N,)` which texts count: one of each prompt.
        labels: `(N,)` number of each text's label; what those have that are not kept does not matter.
        names: C names of the labels.
        features: Of the texts.
    """
    text, feature, feature_names, types = with_some(features, kept)
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
    is_length = np.array([feature_names[i].endswith(COUNTS[0]) and types[i] == "count" for i in at], dtype=bool)
    z, z_within = np.nan_to_num(z), np.where(is_length, np.nan_to_num(z), np.nan_to_num(z_within))
    p_raw = fisher(hit, trials, with_label, np.full(len(hit), rows))
    p_values = stricter(p_raw, z, np.where(is_length, p_raw, of_z(z_within)), z_within)
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
        within=np.where(is_length, share - rest, np.nan_to_num(within)),
        p_raw=p_raw, p_values=p_values, z=z, by_class=hits[at], num_texts=int(rows),
        unit=unit, feature=of, is_hit=is_hit,
    )  # fmt: skip


def with_some(features: Features, kept: NDArray[np.bool_]) -> tuple[Numbers, Numbers, list[str], list[str]]:
    """Adds whether a text has any of what is counted, and whether it is longer than most."""
    found = [(features.text, features.feature)]
    names, types = list(features.names), list(features.types)
    for number, name in enumerate(COUNTS):
        column = features.sizes[:, number]
        least = np.median(column[kept]) if number == 0 and kept.any() else 1 if name == "lines" else 0
        having = np.flatnonzero((column > least) & kept)
        found.append((having, np.full(len(having), len(names))))
        names.append({0: "more than the median of characters", 1: "several lines"}.get(number, f"any {name}"))
        types.append("count")
    text, feature = (np.concatenate(each) for each in zip(*found, strict=True))
    return text, feature, names, types


def _occurrences(
    at: Numbers, label: Numbers, tests: Numbers, text: Numbers, feature: Numbers, labels: Numbers, num: int
) -> tuple[Numbers, Numbers, NDArray[np.bool_]]:
    """Lists the texts of some tests, sorted by test."""
    order = np.lexsort((text, feature))
    text, feature = text[order], feature[order]
    starts = np.searchsorted(feature, np.arange(num + 1))
    length = starts[at[tests] + 1] - starts[at[tests]]
    test = np.repeat(tests, length)
    place = np.arange(len(test)) - np.repeat(np.cumsum(length) - length, length) + starts[at[test]]
    return text[place], test, labels[text[place]] == label[test]
