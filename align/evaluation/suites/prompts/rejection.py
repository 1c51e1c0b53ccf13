"""What a verifier lets into training data: samples of a policy, prompts it sometimes solves, and what slips in."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.data.texts import is_blank
from align.evaluation.statistics.item_means import clustered_share
from align.evaluation.statistics.metrics import Estimate, Values, share
from align.models.policies.asking import Completion

KEPT, REJECTED, UNKNOWN, CUT_OFF, EMPTY, REPEATED = "kept", "rejected", "no value", "cut off", "empty", "repeated"
FATES = (KEPT, REJECTED, UNKNOWN, CUT_OFF, EMPTY, REPEATED)


class Slips(NamedTuple):
    """A verifier against gold, on the same samples; intervals are over prompts."""

    false_positive_rate: Estimate  # wrong samples that it accepts
    true_positive_rate: Estimate  # right samples that it accepts
    wrong_among_kept: Estimate  # kept samples that are wrong
    right: Estimate  # samples that are right


def accepts(values: Values, threshold: float) -> Values:
    """Returns 1 for each value above the threshold, 0 for others, and nan where there is no value."""
    accepted: Values = np.where(np.isnan(values), np.nan, values > threshold)
    return accepted


def sort_out(completions: Sequence[Sequence[Completion]], accepted: Values, longest: int) -> list[list[str]]:
    """Says what becomes of each of `(N, S)` samples, one of `FATES`.

    An accepted one is still left out if it is as long as responses may be (`longest`, in tokens), so that its end is
    missing, if there is nothing in it, or if an earlier kept sample of the same prompt has the same text.
    """
    return [_fates(group, row, longest) for group, row in zip(completions, accepted, strict=True)]


def _fates(samples: Sequence[Completion], accepted: Values, longest: int) -> list[str]:
    seen: set[str] = set()
    fates = []
    for sample, value in zip(samples, accepted, strict=True):
        if np.isnan(value):
            fate = UNKNOWN
        elif not value:
            fate = REJECTED
        elif sample.ids is not None and len(sample.ids) >= longest:
            fate = CUT_OFF
        elif is_blank(sample.text):
            fate = EMPTY
        else:
            fate = REPEATED if sample.text in seen else KEPT
            seen.add(sample.text)
        fates.append(fate)
    return fates


def pass_rates(accepted: Values) -> Values:
    """Returns, per prompt, the share of its samples that are accepted, of those with a value; nan without any.

    Example:
        >>> pass_rates(np.array([[1.0, 0.0], [np.nan, 1.0], [np.nan, np.nan]]))
        array([0.5, 1. , nan])
    """
    known = ~np.isnan(accepted)
    counts = known.sum(axis=1)
    rates: Values = np.where(counts > 0, np.nansum(accepted, axis=1) / np.maximum(counts, 1), np.nan)
    return rates


def measure_slips(accepted: Values, gold: Values, kept: Values) -> Slips:
    """Measures a verifier on `(N, S)` samples: what it accepts, gold (nan is left out), and what gets into data."""
    known, taken = ~np.isnan(gold), np.nan_to_num(accepted)
    right, wrong, data = known & (gold > 0), known & (gold <= 0), known & (kept > 0)
    return Slips(
        false_positive_rate=_share(wrong & (taken > 0), wrong),
        true_positive_rate=_share(right & (taken > 0), right),
        wrong_among_kept=_share(data & wrong, data),
        right=share(pass_rates(gold)),
    )


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Estimate:
    return clustered_share(part.sum(axis=1).astype(float), whole.sum(axis=1).astype(float))
