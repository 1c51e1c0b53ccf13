import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from rewards.correction._moments import Array
from rewards.correction.categories import LEAST_ROWS, MOST_LEVELS
from rewards.correction.columns import Columns, CorrectionWarning, read_sample
from rewards.correction.corrector import Corrector
from rewards.correction.cross_fitting import Residuals
from rewards.correction.least_squares import least_squares

TOP_SHARE = 0.1
NUM_BINS, FEWEST_BINS = 20, 5  # of a number with many values, and of few rows
LITTLE = 0.01  # share of a variance that a confounder may keep
FALSE_ALARMS = 0.01  # share of tables with no more than that in which one of all columns is said to keep more
What = Literal["confounder", "instrument"]


def explained(values: Array, *columns: Any) -> float:
    """Returns the share of the variance of `(N,)` values that columns explain together, free of what chance explains.

    It is that of the means of rows with the same label, or number; of more than 50 numbers, or fewer than ten rows for
    each, in at most twenty parts of equally many rows (adjusted R²; never below 0). It is nan where the columns are
    the same in every row or no two rows are alike, and 0 where the values are all the same.

    Example:
        >>> explained(np.array([1.0, 1.0, 3.0, 3.0]), np.array(["a", "a", "b", "b"], dtype=object))
        1.0
    """
    codes = bins(*columns)
    used, num_rows = int(codes.max()) + 1, len(values)
    if not 1 < used < num_rows:
        return float("nan")
    centred = values - values.mean()
    fitted = (np.bincount(codes, weights=centred) / np.bincount(codes))[codes]
    total, left = float((centred**2).sum()), float(((centred - fitted) ** 2).sum())
    return max(0.0, 1 - left / (num_rows - used) / (total / (num_rows - 1))) if total > 0 else 0.0


def beyond_chance(num_rows: int, num_bins: int, num_columns: int = 1) -> float:
    """Returns the share that `explained` must exceed before a column is sure to explain more than 1 %.

    Of tables in which none of the columns explains more than 1 % in truth, fewer than 1 % have one above its bound
    (non-central F of independent rows; Bonferroni over columns).
    """
    over, under = max(num_bins - 1, 1), max(num_rows - num_bins, 1)
    in_truth, sure = LITTLE / (1 - LITTLE) * num_rows, 1 - FALSE_ALARMS / num_columns
    ratio = float(import_module("scipy.special").ncfdtri(over, under, in_truth, sure))
    return 1 - (num_rows - 1) / (under + over * ratio)


def bins(*columns: Any) -> Array:
    """Returns the `(N,)` number of the part that a row is in: of each column its label, its number, or a range."""
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in map(_bins, columns):
        codes = np.unique(codes * (column.max() + 1) + column, return_inverse=True)[1]
    return codes


def _bins(column: Any) -> Array:
    column = np.asarray(column)
    is_number = column.dtype.kind in "biuf"
    labels, codes = np.unique(column if is_number else column.astype(str), return_inverse=True)
    most = min(max(len(column) // LEAST_ROWS, FEWEST_BINS), MOST_LEVELS)
    if is_number and len(labels) > most:
        count = min(most, NUM_BINS)
        edges = np.quantile(column, np.arange(1, count) / count, method="inverted_cdf")
        codes = np.unique(np.searchsorted(edges, column), return_inverse=True)[1]
    return codes


def beyond_line(values: Array, column: Array) -> Array:
    """Returns `(N,)` values less their line in a column of numbers."""
    centred = column - column.mean()
    return np.asarray(values - centred * (centred @ values / max(float(centred @ centred), 1e-300)))


class Overlap(NamedTuple):
    """How much of a confounder is left to learn from."""

    name: str
    explained: float  # share of its variance that the text and the other confounders explain
    effective_rows: float  # that carry the estimate, of all rows
    share: float  # `effective_rows` over all rows; 1/3 for normally distributed residuals


def overlap(confounders: Columns, residuals: Array | None = None) -> list[Overlap]:
    """Computes the effective sample of each coefficient (Aronow and Samii 2016): weights are squared residuals.

    A row counts by how far its confounder is from what the text and the other confounders predict. If a few rows carry
    the estimate, or almost nothing is left, similar texts were not seen with high and low confounders. `residuals` are
    `(N, K)`, what the text leaves of the confounders; None without text.
    """
    spread = confounders.values.std(axis=0)
    left = (confounders.values if residuals is None else residuals) / np.where(spread > 0, spread, 1.0)
    left = left - left.mean(axis=0)
    found = []
    for number, name in enumerate(confounders.names):
        others = np.delete(left, number, axis=1)
        column = left[:, number] - others @ np.linalg.lstsq(others, left[:, number], rcond=None)[0]
        weights = column**2
        explained = 1 - weights.mean()
        effective = float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0
        found.append(Overlap(name, float(explained), effective, effective / len(column)))
    return found


class Interaction(NamedTuple):
    """`<confounder> x text`, which additivity says is 0, with its 95 % interval, in units of the outcome, and p-value.

    It is per standard deviation of the text's predicted worth.
    """

    term: str
    coefficient: float
    low: float
    high: float
    p_value: float


def additivity(
    names: tuple[str, ...], residuals: Residuals, coefficients: Array, clusters: Array | None = None
) -> list[Interaction]:
    """Tests whether the confounders' effect changes with the text, which no effect of theirs alone can remove.

    The outcome's residual is regressed on the confounders' residuals, and these times the predicted worth of the text
    (prediction of outcome less confounders, by the `(K,)` coefficients of the correction). The error of the
    regressions on the text makes small tables find a term too often (about 10 % at p < 0.05 with 1,500 rows), so look
    at its size and at p < 0.01. Raises `ValueError` if a residual is constant, or the terms determine each other.
    """
    unit, of_outcome = residuals.confounders.std(axis=0), residuals.outcome.std()
    left, worth = residuals.confounders / unit, residuals.worth(np.asarray(coefficients))
    worth = (worth - worth.mean()) / worth.std()
    columns = np.hstack([left, left * worth[:, None]])
    estimates = least_squares(residuals.outcome / of_outcome, columns, clusters).estimates
    estimates = estimates.scaled(of_outcome / np.concatenate([unit, unit]))
    found = list(zip(estimates.coefficients, estimates.intervals, estimates.p_values, strict=True))[len(names) :]
    return [
        Interaction(f"{name} x text", float(slope), float(low), float(high), float(p_value))
        for name, (slope, (low, high), p_value) in zip(names, found, strict=True)
    ]


class Placebo(NamedTuple):
    """Estimates after permutation."""

    what: str
    coefficients: Array  # (repeats, K); about 0 after permuting confounders
    strengths: Array  # (repeats,) smallest first-stage F; about 1 after permuting instruments, nan without
    coverage: float  # share of the 95 % intervals that contain 0


def placebo(
    corrector: Corrector,
    outcome: Any,
    confounders: Any,
    *,
    permute: What = "confounder",
    repeats: int = 20,
    seed: int = 0,
    **columns: Any,
) -> Placebo:
    """Fits again with permuted rows of the confounders or the instruments: no effect may be left.

    `confounder` permutes confounders together with their instruments, so that the first stage stays. `instrument`
    permutes the instruments alone: the first stage must vanish. A placebo that fails shows an error in the table or in
    the intervals; one that holds does not show that the assumptions are true. `columns` are further ones of `fit`.
    Raises `ValueError` if instruments are to be permuted and there are none, or `fit` refuses the table.
    """
    if permute not in get_args(What) or (permute == "instrument" and columns.get("instruments") is None):
        raise ValueError(f"`permute` must be `confounder`, or `instrument` with `instruments`; got {permute!r}.")
    sample = read_sample(outcome, confounders, lines=corrector.lines, **columns)
    fixed = {"text": sample.text, "features": sample.features, "groups": sample.groups}
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
            copy.fit(sample.outcome, both, instruments=moved, **fixed)
        coefficients.append(copy.correction_.coefficients)
        strengths.append(copy.correction_.details.get("strength", np.nan))
        covers.extend(low <= 0 <= high for low, high in copy.correction_.intervals)
    return Placebo(permute, np.array(coefficients), np.array(strengths), float(np.mean(covers)))


def _shuffled(columns: Columns, order: Array) -> Columns:
    return columns._replace(values=columns.values[order])


class Agreement(NamedTuple):
    """How alike E corrections rank the same rows."""

    names: tuple[str, ...]
    rank_correlation: Array  # (E, E) Spearman's
    top_overlap: Array  # (E, E) share of the best tenth by one that is in the best tenth by the other


def rank_agreement(rewards: Mapping[str, Any]) -> Agreement:
    """Compares the rankings of the same rows by `(N,)` rewards from several estimators.

    Where estimators with different assumptions agree, the assumptions matter little; where they do not, which one is
    right cannot be read off the table. Rows where one is nan are left out. Raises `ValueError` if there are fewer than
    two.
    """
    if len(rewards) < 2:
        raise ValueError(f"`rewards` must hold at least two to compare, got {', '.join(rewards) or 'none'}.")
    table = np.stack([np.asarray(values, dtype=float) for values in rewards.values()])
    table = table[:, np.isfinite(table).all(axis=0)]
    ranks = import_module("scipy.stats").rankdata(table, axis=1)
    top = ranks > (1 - TOP_SHARE) * table.shape[1]
    common = (top[:, None] & top[None]).sum(axis=-1) / np.maximum(top.sum(axis=1), 1)[:, None]
    return Agreement(tuple(rewards), np.corrcoef(ranks), common)
