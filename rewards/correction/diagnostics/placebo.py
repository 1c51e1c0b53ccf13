import warnings
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from rewards.correction._moments import Array
from rewards.correction.columns import Columns, CorrectionWarning, read_sample
from rewards.correction.corrector import Corrector

What = Literal["confounder", "instrument"]


class Placebo(NamedTuple):
    """Estimates after permutation.

    Attributes:
        what: What was permuted.
        coefficients: `(repeats, K)`; about 0 after permuting confounders.
        strengths: `(repeats,)` smallest first-stage F; about 1 after permuting instruments, nan without instruments.
        coverage: Share of the 95 % intervals that contain 0.
    """

    what: str
    coefficients: Array
    strengths: Array
    coverage: float


def placebo(
    corrector: Corrector,
    outcome: Any,
    confounders: Any,
    *,
    text: Any = None,
    features: Any = None,
    instruments: Any = None,
    groups: Any = None,
    permute: What = "confounder",
    repeats: int = 20,
    seed: int = 0,
) -> Placebo:
    """Fits again with permuted rows of the confounders or the instruments: no effect may be left.

    `confounder` permutes confounders together with their instruments, so that the first stage stays. `instrument`
    permutes the instruments alone: the first stage must vanish. A placebo that fails shows an error in the table or
    in the intervals; one that holds does not show that the assumptions are true.

    Args:
        corrector: Estimator whose parameters are used; it is not changed.
        outcome: As in `fit`, like the arguments up to `groups`.
        confounders: Permuted by `confounder`.
        text: Stays in place.
        features: Stay in place.
        instruments: Permuted by both.
        groups: Stay in place.
        permute: What to permute.
        repeats: Permutations.
        seed: Of the permutations.

    Raises:
        ValueError: If instruments are to be permuted and there are none, or `fit` refuses the table.
    """
    if permute not in get_args(What) or (permute == "instrument" and instruments is None):
        raise ValueError(f"`permute` must be `confounder`, or `instrument` with `instruments`; got {permute!r}.")
    missing = corrector.missing
    sample = read_sample(
        outcome, confounders, text=text, features=features, instruments=instruments, groups=groups, missing=missing
    )
    rng = np.random.default_rng(seed)
    coefficients, strengths = [], []
    covers: list[bool] = []
    for _ in range(repeats):
        order = rng.permutation(sample.num_rows)
        moved = None if sample.instruments is None else _shuffled(sample.instruments, order)
        both = _shuffled(sample.confounders, order) if permute == "confounder" else sample.confounders
        copy = type(corrector)(**corrector.get_params())
        if "on_weak_instrument" in copy.get_params():
            copy.set_params(on_weak_instrument="keep")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CorrectionWarning)
            copy.fit(
                sample.outcome,
                both,
                text=sample.text,
                features=sample.features,
                instruments=moved,
                groups=sample.groups,
            )
        coefficients.append(copy.correction_.coefficients)
        strengths.append(copy.correction_.details.get("strength", np.nan))
        covers.extend(low <= 0 <= high for low, high in copy.correction_.intervals)
    return Placebo(permute, np.array(coefficients), np.array(strengths), float(np.mean(covers)))


def _shuffled(columns: Columns, order: Array) -> Columns:
    return Columns(columns.names, columns.values[order])
