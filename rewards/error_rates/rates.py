"""Shares of texts with 95 % intervals whose unit is the row, and a pass rate corrected for both error rates."""

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

LEVEL = 0.95
FEW = 30  # rows
Z = 1.959964  # half of a normal 95 % interval, in standard errors


class Rate(NamedTuple):
    """A share of texts, with its 95 % interval."""

    share: float
    low: float
    high: float
    hits: int = 0  # texts that it counts
    of: int = 0
    rows: int = 0  # that the texts belong to

    @property
    def error(self) -> float:
        """The standard error, read off the interval, so that 0 of 20 has one, too."""
        return (self.high - self.low) / (2 * Z)

    def __str__(self) -> str:
        digits = 0 if min(self.high, 1 - self.low) >= 0.1 else 1
        low, high = (f"{100 * end:.{digits}f}" for end in (self.low, self.high))
        return f"{100 * self.share:.{digits}f} % [{low}, {high}]"


class ErrorRates(NamedTuple):
    """Both error rates of a reward, and the pay from which it accepts an answer."""

    fpr: Rate
    fnr: Rate
    right_from: float = 0.5

    def right_share(self, pays: np.ndarray, clusters: np.ndarray) -> tuple[Rate, Rate]:
        """Estimates which share of completions `(N,)` passes, and which is right; NaN pay is left out."""
        known = ~np.isnan(pays)
        passed = rate_of(pays[known] >= self.right_from, clusters[known])
        return passed, passed if math.isnan(passed.share) else corrected(passed, self.fpr, self.fnr)


def read_rates(given: Sequence[float] | Mapping[str, Any]) -> ErrorRates:
    """Reads `[fpr, fnr]`, or what `align rewards measure --json` writes; raises `ValueError` if they tell nothing.

    Rates of labelled completions go before those of made ones, and two numbers are taken as known for sure.

    Example:
        >>> read_rates([0.05, 0.2]).fnr.share
        0.2
    """
    if isinstance(given, Mapping):
        found: Any = given.get("found")
        try:
            errors = found["labelled"] or found["made"]
            rates = ErrorRates(Rate(**errors["fpr"]), Rate(**errors["fnr"]), float(errors["right_from"]))
        except (KeyError, TypeError, ValueError):
            raise ValueError("it holds no error rates. `align rewards measure REWARD --json` prints them.") from None
        if None in (rates.fpr.share, rates.fnr.share):
            raise ValueError("it holds one of the two rates only: measure with right completions and wrong ones.")
    elif len(given) == 2 and all(0 <= each <= 1 for each in given):
        fpr, fnr = (Rate(each, each, each) for each in given)
        rates = ErrorRates(fpr, fnr)
    else:
        raise ValueError(f"it must be [false positives, false negatives], two shares from 0 to 1; got {list(given)}.")
    corrected(Rate(0.0, 0.0, 0.0), rates.fpr, rates.fnr)  # refuses rates that say nothing
    return rates


def rate_of(hits: Sequence[bool] | np.ndarray, clusters: Sequence[Any] | np.ndarray | None = None) -> Rate:
    """Estimates the share of hits among texts `(N,)`, of which those with equal `clusters` are one row.

    The interval is Clopper and Pearson's with as many texts as their clustered variance is worth (Korn and Graubard,
    1998), with one degree of freedom less than rows. Below 30 rows, and if all texts or none are hits, those of a row
    count as one text: so few do not tell how alike they are.

    Example:
        >>> print(rate_of([True, False] * 20), rate_of([False] * 20, clusters=[0, 1, 2, 3, 4] * 4), sep=" and ")
        50 % [33, 67] and 0 % [0, 52]
    """
    special = import_module("scipy.special")
    hit = np.asarray(hits, dtype=float)
    if not hit.size:
        return Rate(math.nan, 0.0, 1.0)
    _, codes = np.unique(np.arange(len(hit)) if clusters is None else np.asarray(clusters), return_inverse=True)
    sizes, share, rows = np.bincount(codes), float(hit.mean()), int(codes.max()) + 1
    worth = float(sizes.sum() ** 2 / (sizes**2).sum())
    if 0 < share < 1 and rows >= FEW:
        added = (np.bincount(codes, hit) - share * sizes) / sizes.mean()
        variance = float(added @ added) / (rows * (rows - 1))
        narrower = (Z / float(special.stdtrit(rows - 1, (1 + LEVEL) / 2))) ** 2
        worth = min(len(hit), share * (1 - share) / variance if variance else math.inf) * narrower
    worth, rest = max(worth, 1.0), (1 - LEVEL) / 2
    low = float(special.betaincinv(worth * share, worth * (1 - share) + 1, rest)) if share > 0 else 0.0
    high = float(special.betaincinv(worth * share + 1, worth * (1 - share), 1 - rest)) if share < 1 else 1.0
    return Rate(share, low, high, int(hit.sum()), len(hit), rows)


def corrected(passed: Rate, fpr: Rate, fnr: Rate) -> Rate:
    """Estimates the true share of right answers from the share that a reward passes (Rogan and Gladen, 1978).

    `(passed - fpr) / (1 - fpr - fnr)`, its interval by the delta method, both within [0, 1]; the interval is all of
    it where those of the two rates leave room for a reward that tells nothing. Texts that passed are taken as drawn
    apart from those that the rates are of. Raises `ValueError` unless `fpr + fnr` is below 1.

    Example:
        >>> print(corrected(rate_of([1] * 40 + [0] * 60), Rate(0.1, 0.08, 0.12), Rate(0.2, 0.18, 0.22)))
        43 % [28, 58]
    """
    told = 1 - fpr.share - fnr.share
    if math.isnan(told):
        raise ValueError("A pass rate is corrected for both error rates: give right texts and wrong ones, too.")
    if told <= 0:
        raise ValueError(
            f"A pass rate can be corrected where `fpr` + `fnr` is below 1, got {fpr.share:.3g} + {fnr.share:.3g}: "
            "this reward passes wrong answers as often as right ones, so that what it passes says nothing of them."
        )
    exact = (passed.share - fpr.share) / told
    error = math.hypot(passed.error, (1 - exact) * fpr.error, exact * fnr.error) / told
    share, low, high = (min(1.0, max(0.0, end)) for end in (exact, exact - Z * error, exact + Z * error))
    if told <= Z * math.hypot(fpr.error, fnr.error):
        low, high = 0.0, 1.0
    return Rate(share, low, high, passed.hits, passed.of, passed.rows)
