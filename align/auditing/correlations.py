"""Cues in texts whose outcome was observed: rank correlations once the named confounders are taken out."""

import numpy as np

from align.auditing.features import FEWEST, Features
from align.auditing.labels import with_some
from align.auditing.significance import NUM_STRATA, of_z, strata_of
from align.auditing.tested import Numbers, Tested, Values, stricter, sums
from align.auditing.words import COUNTS

_BLOCK = 256  # features at once


def compare_outcomes(
    kept: np.ndarray, outcome: Values, confounders: Values, cluster: Numbers, features: Features
) -> Tested:
    """Tests which features go with a higher or a lower outcome.

    Ranks of the outcome lose what a straight line through the ranks of the confounders explains of them, and so do the
    features; in the second test the strata of length are taken out, too. Texts of one prompt count as one: the test is
    robust to what they share.

    Args:
        kept: `(N,)` which texts count.
        outcome: `(N,)` what was observed.
        confounders: `(N, C)` what may have moved it.
        cluster: `(N,)` number of each text's prompt.
        features: Of the texts.
    """
    from scipy.stats import rankdata

    text, feature, names, types = with_some(features, kept)
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
    by_type = zip(names, types, strict=True)
    is_length = np.array([name.endswith(COUNTS[0]) and kind == "count" for name, kind in by_type], dtype=bool)
    effect, z = raw
    effect_within, z_within = (np.where(is_length, a, b) for a, b in zip(raw, within, strict=True))
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
    """Computes partial correlations of features with an outcome, and their deviates.

    Args:
        y: `(N,)` outcome.
        known: `(N, K)` what is taken out of both, with a column of ones.
        groups: `(N,)` number of each text's group.
        text: `(E,)` texts that have a feature, sorted by feature.
        starts: `(F + 1,)` where each feature begins in them.
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
