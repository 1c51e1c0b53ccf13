"""Pure functions from answers to per-item values, and from those to estimates with 95 % intervals.

A metric returns one value per item, `nan` for an item it does not speak of. `share` makes an estimate of it and
`mean_of_differences` compares two policies on the same items. Choices are content-space indices, so the same index
means the same option in every order it was shown in; `None` is "no valid answer". No item is dropped for a bad
response: without an answer it is wrong and not consistent.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

_MOST_DECIMALS, _LARGE = 6, 1e9
_LEAST_END = 0.5 * 10**-_MOST_DECIMALS  # an end that no number of decimals would tell from 0


def num_decimals(low: float, high: float, least: int) -> int:
    """Returns with how many decimals, at least `least`, an interval shows its width and on which side of 0 it is.

    Example:
        >>> num_decimals(0.0003, 0.002, 2), num_decimals(0.1, 0.2, 2), num_decimals(-1e-7, 0.2, 2)
        (4, 2, 2)
    """
    for digits in range(least, _MOST_DECIMALS):
        near, far = round(low, digits), round(high, digits)
        if near != far and all(end != 0 or abs(exact) < _LEAST_END for end, exact in ((near, low), (far, high))):
            return digits
    return _MOST_DECIMALS


def written(value: float, digits: int) -> str:
    """Writes a number with so many decimals, a very large one with a power of ten.

    Example:
        >>> written(-0.001, 2), written(1234567.891, 2), written(-1e300, 2)
        ('0.00', '1234567.89', '-1e+300')
    """
    return f"{value:z.{digits}f}" if abs(value) < _LARGE else f"{value:.3g}"


SIGNIFICANCE = 0.05  # of the test, where the interval's level is 0.95


def mcnemar(wins: int, losses: int) -> float:
    """Returns the exact two-sided p-value that wins and losses are equally likely; 1 if there are neither.

    Example:
        >>> mcnemar(wins=9, losses=1)
        0.021484375
    """
    from scipy.stats import binomtest

    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def paired_interval(wins: int, losses: int, n: int) -> tuple[float, float]:
    """Returns the 95 % interval of `(wins - losses) / n`, which leaves out 0 only if McNemar's exact p is below 0.05.

    It is the adjusted Wald interval of Bonett and Price (2012, "Adjusted Wald Confidence Interval for a Difference of
    Binomial Proportions Based on Paired Data", J. Educ. Behav. Stat. 37): with one win and one loss more among N = n +
    2, that is `d +- z sqrt((p_win + p_loss - d^2) / N)` for `d = p_win - p_loss`. With few items or few that differ it
    leaves out 0 a little before the exact test does; its nearer end then is 0. Where the test tells a difference, so
    does the interval. In 558 settings (5 to 160 items, shares of wins and losses from 0 to 0.9) it covers 0.97 on
    average, at least 0.95 in 487, and at least 0.92 in all: the least are of 5 to 20 items.

    Example:
        >>> paired_interval(wins=26, losses=4, n=48)  # of ci.prop.ps in R's statpsych
        (0.2548..., 0.6251...)
        >>> paired_interval(wins=4, losses=0, n=1000)  # p = 0.125
        (-0.0007..., 0.0087...)
    """
    z, total = 1.959963984540054, n + 2  # the normal quantile of 0.975
    centre = (wins - losses) / total
    half = z * math.sqrt(((wins + losses + 2) / total - centre**2) / total)
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    if not low <= 0 <= high and mcnemar(wins, losses) >= SIGNIFICANCE:
        return min(low, 0.0), max(high, 0.0)
    return low, high


Choice = int | None
Values = NDArray[np.float64]

LEVEL = 0.95
NO_DATA = "no data"  # what stands for a value that there is none of
RESAMPLES = 4999
FEW = 30  # items or clusters, with fewer of which a bootstrap over them is too narrow
MANY = 20_000  # of which a bootstrap gives the ends of the normal interval, and needs a gigabyte for 100,000 items


class Estimate(NamedTuple):
    """A value with the 95 % interval around it, about `n` independent things: items, or runs (`unit` is `seeds`).

    An `n` of 0 is of a value that nothing bounds, since scores are missing.

    Example:
        >>> print(Estimate(0.62, 0.591, 0.649, 1000))
        0.62 [0.59, 0.65]
        >>> print(Estimate(0.004, -0.0008, 0.0088, 1000))
        0.004 [-0.001, 0.009]
    """

    value: float
    low: float
    high: float
    n: int
    unit: str = "items"

    def __str__(self) -> str:
        if math.isnan(self.value):
            return NO_DATA
        if math.isnan(self.low):
            why = f"one of the {self.unit}: " if self.n == 1 else f"no spread among {self.n:,} {self.unit}: "
            return f"{written(self.value, 2)} ({why if self.n else ''}no interval)"
        value, low, high = (written(each, num_decimals(self.low, self.high, 2)) for each in self[:3])
        return f"{value} [{low}, {high}]"

    def verdict(self, than: float = 0.0) -> Literal["above", "below"] | None:
        """Says on which side of a number this is told to be: where the interval lies, None if it holds the number.

        Items that are all the same have no interval. Six of them are told, as by the sign test; equal runs never.

        Example:
            >>> Estimate(0.2, 0.1, 0.3, 90).verdict(), Estimate(0.2, 0.1, 0.3, 90).verdict(than=0.1)
            ('above', None)
        """
        low, high = self.low, self.high
        if math.isnan(low) and self.unit != "seeds" and 2.0 ** (1 - self.n) < SIGNIFICANCE:
            low = high = self.value
        return "above" if low > than else "below" if high < than else None


def wilson_interval(mean: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Returns Wilson's interval, also of a mean of values between 0 and 1, whose variance it overstates."""
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    centre, shrink = mean + z**2 / (2 * n), 1 + z**2 / n
    half = z * math.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2))
    return max(0.0, (centre - half) / shrink) if mean else 0.0, min(1.0, (centre + half) / shrink) if mean < 1 else 1.0


def told(estimate: Estimate, *, in_percent: bool = False) -> str:
    """Writes an estimate with its interval and its n, as warnings do.

    Example:
        >>> told(Estimate(0.62, 0.591, 0.649, 1000)), told(Estimate(0.5, 0.5, 0.5, 5, "logs"), in_percent=True)
        ('0.62 [0.59, 0.65; 1,000 items]', '50 % [5 logs]')
    """
    value, low, high = (100 * each if in_percent else each for each in estimate[:3])
    if high - low > 1e-9:
        digits = num_decimals(low, high, 0 if in_percent else 2)
        shown, ends = written(value, digits), f"{written(low, digits)}, {written(high, digits)}; "
    else:
        shown, ends = f"{value:.3g}" if in_percent or abs(value) < 0.1 else f"{value:.2f}", ""
    shown += " %" * in_percent
    return shown if estimate.n < 2 else f"{shown} [{ends}{estimate.n:,} {estimate.unit}]"


def wilson(successes: int, n: int) -> Estimate:
    """Estimates a share with Wilson's score interval; `n = 0` gives `nan`.

    Example:
        >>> print(wilson(8, 10))
        0.80 [0.49, 0.94]
    """
    if not 0 <= successes <= n:
        raise ValueError(f"`successes` must lie between 0 and `n`, got {successes} of {n}.")
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    return Estimate(successes / n, *wilson_interval(successes / n, n), int(n))


def bootstrap(values: Sequence[float] | Values, *, seed: int = 0) -> Estimate:
    """Estimates the mean of per-item values that have no bounds; `nan` items are left out.

    The interval is a percentile bootstrap over items and two more, as far from the mean on either side as the farthest
    one. With fewer than 30, of which a bootstrap is too narrow, it is Student's, with the spread of all of these:
    without the two it misses more often where values are skewed. Equal values have none (`nan`).
    """
    kept = _finite(values)
    if (n := len(kept)) == 0 or _is_constant(kept):
        return mean_over_seeds(kept)._replace(unit="items")
    mean = float(kept.mean())
    farthest = float(np.abs(kept - mean).max())
    more = np.append(kept, (mean - farthest, mean + farthest))
    if n < FEW:
        spread = max(kept.std(ddof=1), more.std(ddof=1))  # of two values the first is the greater
        half = student(n - 1) * float(spread) / math.sqrt(n)
        return Estimate(mean, mean - half, mean + half, n)
    return Estimate(mean, *_resampled_ends(more, seed), n)


def all_equal(value: float, n: int, low: float = 0.0, high: float = 1.0) -> Estimate:
    """Estimates the mean of values in [low, high], all equal; it allows for unseen ones at a bound, as Wilson's does.

    Example:
        >>> print(all_equal(0.5, 20))
        0.50 [0.42, 0.58]
    """
    unseen = wilson(0, n).high
    return Estimate(value, value - unseen * (value - low), value + unseen * (high - value), n)


def mean_of_differences(differences: Sequence[float] | Values, *, bounded: bool = True, seed: int = 0) -> Estimate:
    """Estimates the mean of differences between two outcomes of the same items; `nan` items are left out.

    The interval is `paired_interval` where each is -1, 0 or 1. Otherwise it is a percentile bootstrap over items and
    two more, which differ by as much as the one that differs most, one in each direction: what Bonett and Price add,
    and without which it is too narrow where few items differ. Without `bounded` they are values as any, see
    `bootstrap`.

    Example:
        >>> print(mean_of_differences([1, 0, 0, -1, 1, 0, 1, 0] * 10))
        0.25 [0.10, 0.39]
    """
    kept = _finite(differences)
    if len(kept) == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    if not bounded:
        return bootstrap(kept, seed=seed)
    mean, n = float(kept.mean()), len(kept)
    if np.isin(kept, (-1.0, 0.0, 1.0)).all():
        return Estimate(mean, *paired_interval(int((kept > 0).sum()), int((kept < 0).sum()), n), n)
    if _is_constant(kept):
        return all_equal(mean, n, -1.0, 1.0)
    greatest = float(np.abs(kept).max())
    return Estimate(mean, *_resampled_ends(np.append(kept, (greatest, -greatest)), seed), n)


def mean_over_seeds(values: Sequence[float] | Values) -> Estimate:
    """Estimates the mean over training runs with Student's t-interval; one run, or equal ones, have no interval.

    Example:
        >>> print(mean_over_seeds([0.2, 0.3, 0.4]))
        0.30 [0.05, 0.55]
    """
    kept, n = np.asarray(values, dtype=float), len(values)
    if n == 0 or _is_constant(kept):
        return Estimate(float(kept[0]) if n else math.nan, math.nan, math.nan, n, "seeds")
    mean, margin = float(kept.mean()), student(n - 1) * float(kept.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - margin, mean + margin, n, "seeds")


SURE = 5  # equal logs that are no chance: a share of one half gives all of five at an end in 6 % of cases


def mean_over_logs(values: Sequence[float] | Values) -> Estimate:
    """Estimates the mean of what steps of a run logged, `nan` left out, with Student's t-interval.

    From five on, equal ones are taken for sure.

    Example:
        >>> print(mean_over_logs([0.5, 0.7, 0.6, float("nan")]))
        0.60 [0.35, 0.85]
    """
    found = mean_over_seeds(_finite(values))._replace(unit="logs")
    is_sure = math.isnan(found.low) and found.n >= SURE
    return found._replace(low=found.value, high=found.value) if is_sure else found


def less(one: Estimate, other: Estimate, times: float = 1.0) -> Estimate:
    """Estimates a number minus some times another that was measured apart from it (MOVER, Zou and Donner, 2008).

    Example:
        >>> print(less(Estimate(0.9, 0.8, 0.94, 50), Estimate(0.6, 0.52, 0.7, 50)))
        0.30 [0.16, 0.39]
    """
    value = one.value - times * other.value
    down = math.hypot(one.value - one.low, times * (other.high - other.value))
    up = math.hypot(one.high - one.value, times * (other.value - other.low))
    return Estimate(value, value - down, value + up, min(one.n, other.n), one.unit)


def magnitude(one: Estimate) -> Estimate:
    """Estimates how far a number is from 0, by its own sign."""
    return one._replace(value=-one.value, low=-one.high, high=-one.low) if one.value < 0 else one


def mean_correlation(values: Sequence[float] | Values, counts: Sequence[float] | Values) -> Estimate:
    """Estimates a correlation from several, the variance of each of which is 1 / n by chance; `n` is their sum.

    Example:
        >>> print(mean_correlation([0.5, 0.7], [40, 60]))
        0.62 [0.42, 0.82]
    """
    n = float(np.sum(counts))
    if not n > 0:
        return Estimate(math.nan, math.nan, math.nan, 0, "comparisons")
    value, half = float(np.dot(values, counts) / n), 1.959963984540054 / math.sqrt(n)
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), round(n), "comparisons")


def student(degrees: float) -> float:
    """Returns the quantile of Student's t with which a 95 % interval is made."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def share(values: Sequence[float] | Values) -> Estimate:
    """Estimates the mean of per-item values in [0, 1]; `nan` items are left out.

    The interval is Wilson's where every item is 0 or 1, that of `all_equal` where all have another value, and
    otherwise a percentile bootstrap over items and two more, one at each bound: without them one tie beside right
    answers would make it narrower than right answers alone.

    Example:
        >>> print(share(accuracy([0, 1, 2], [0, 1, 1])))
        0.67 [0.21, 0.94]
    """
    kept = _finite(values)
    if np.isin(kept, (0.0, 1.0)).all():
        return wilson(int(kept.sum()), len(kept))
    if _is_constant(kept):
        return all_equal(float(kept[0]), len(kept))
    mean, (low, high) = float(kept.mean()), _resampled_ends(np.append(kept, (0.0, 1.0)), 0)
    return Estimate(mean, min(low, mean), max(high, mean), len(kept))


def mean_of_known(values: Values, axis: int | tuple[int, ...] = -1) -> Values:
    """Averages over axes what is not nan; `nan` where nothing is.

    Example:
        >>> mean_of_known(np.array([[1.0, 0.0], [np.nan, 1.0], [np.nan, np.nan]]))
        array([0.5, 1. , nan])
    """
    counts = (~np.isnan(values)).sum(axis=axis)
    return np.where(counts > 0, np.nansum(values, axis=axis) / np.maximum(counts, 1), math.nan)


def accuracy(choices: Sequence[Choice], gold: Sequence[int]) -> Values:
    """Returns, per item, 1 if the answer is the gold option; no valid answer is a wrong answer."""
    return np.array([float(choice == right) for choice, right in zip(choices, gold, strict=True)])


def pair_accuracy(margins: Sequence[float] | Values) -> Values:
    """Returns, per pair, 1 if the first of two is above the second, by their margin, and one half for a tie.

    Example:
        >>> pair_accuracy([2.0, 0.0, -1.0, float("nan")])
        array([1. , 0.5, 0. , nan])
    """
    return (1 + np.sign(np.asarray(margins, dtype=float))) / 2


def option_shuffle_consistency(
    first: Sequence[Choice], second_choices: Sequence[Sequence[Choice] | None], *, every: bool = False
) -> Values:
    """Returns, per item, the share of its M shuffles whose second answer is the first answer (OSCR).

    None as a first answer agrees with nothing. As `(M,)` second answers, None is a response without a trace to answer
    from (0), and an empty list a question whose options may not be moved (`nan`: it says nothing about the policy).
    `every` returns 1 only if all M agree, instead of the share.

    Example:
        >>> option_shuffle_consistency([1, 1, None, 0], [[1, 2], [1, 1], [None, None], []])
        array([0.5, 1. , 0. , nan])
    """
    agreement = np.zeros(len(first))
    for row, (choice, seconds) in enumerate(zip(first, second_choices, strict=True)):
        if seconds is None or (choice is None and seconds):
            continue
        agreed = [second == choice for second in seconds]
        agreement[row] = math.nan if not agreed else float(all(agreed)) if every else sum(agreed) / len(agreed)
    return agreement


def trace_answer_consistency(trace_choice: Sequence[Choice], answer: Sequence[Choice]) -> Values:
    """Returns, per item whose trace states an option, 1 if that option is the answer."""
    return _where_stated(trace_choice, [stated == given for stated, given in zip(trace_choice, answer, strict=True)])


def cr_wa(trace_choice: Sequence[Choice], answer: Sequence[Choice], gold: Sequence[int]) -> Values:
    """Returns, per item whose trace states an option, 1 for correct reasoning, wrong answer.

    The trace states the gold and the answer is another one or missing. Of the items whose trace states an option, the
    consistent ones, CR-WA, WR-CA, and those where trace and answer are wrong in different ways add up to one.
    """
    rows = zip(trace_choice, answer, gold, strict=True)
    return _where_stated(trace_choice, [stated == right != given for stated, given, right in rows])


def wr_ca(trace_choice: Sequence[Choice], answer: Sequence[Choice], gold: Sequence[int]) -> Values:
    """Returns, per item whose trace states an option, 1 for wrong reasoning, correct answer."""
    rows = zip(trace_choice, answer, gold, strict=True)
    return _where_stated(trace_choice, [stated != right == given for stated, given, right in rows])


def _where_stated(trace_choice: Sequence[Choice], values: Sequence[bool]) -> Values:
    return np.array(
        [math.nan if stated is None else value for stated, value in zip(trace_choice, values, strict=True)]
    )


def _is_constant(values: Values) -> bool:
    """Whether values differ by no more than rounding."""
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max())


def _resampled_ends(values: Values, seed: int) -> tuple[float, float]:
    """Returns the ends of a percentile bootstrap of the mean, or of many values those of the normal interval."""
    if len(values) > MANY:
        mean, half = float(values.mean()), 1.959963984540054 * float(values.std(ddof=1)) / math.sqrt(len(values))
        return mean - half, mean + half
    from scipy.stats import bootstrap as resample

    found = resample(
        (values,), np.mean, n_resamples=RESAMPLES, batch=500, confidence_level=LEVEL, method="percentile", rng=seed
    ).confidence_interval
    return float(found.low), float(found.high)


def _finite(values: Sequence[float] | Values) -> Values:
    array = np.asarray(values, dtype=float)
    return array[~np.isnan(array)]
