"""Numbers along an axis, and numbers for a reader."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_TINY_SHARE = 0.01  # would be 0 or 1 % without decimals
_STEPS = (1, 2, 2.5, 5, 10)
LARGEST, _SAME = 1e300, 1e-9  # beyond, sums are infinite; below, as a share of the values, ticks are the same
_MOST_DECIMALS, _LARGE = 4, 1e6


class Axis(NamedTuple):
    """The ends of an axis, and its numbers with their labels."""

    low: float
    high: float
    ticks: list[tuple[float, str]]


def format_number(value: float, share: bool = False) -> str:
    """Writes a number for a reader: shares in percent, the rest with three significant digits.

    Example:
        >>> format_number(0.4567, share=True), format_number(0.00312, share=True), format_number(-1e-9, share=True)
        ('46 %', '0.31 %', '0 %')
        >>> format_number(123.4), format_number(1e-6), format_number(float("nan"))
        ('123', '1e-06', 'n/a')
    """
    if not np.isfinite(value):
        return "n/a"
    if share:
        return f"{100 * value:.2g} %" if 0 < value < _TINY_SHARE else f"{100 * value:z.0f} %"
    return f"{value:.3g}"


def axis_of(
    values: NDArray[np.float64],
    *,
    share: bool = False,
    from_zero: bool = False,
    num_ticks: int = 6,
    rounded: bool = False,
) -> Axis:
    """Finds an axis with about `num_ticks` round numbers on which all values lie; `rounded` ends at one of them.

    Example:
        >>> axis_of(np.array([0.0, 1.0]), share=True).ticks[-1]
        (1.0, '100 %')
        >>> [label for _, label in axis_of(np.array([0.0131, 0.0218])).ticks]
        ['0.014', '0.016', '0.018', '0.020', '0.022']
    """
    values = np.clip(values, -LARGEST, LARGEST)
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    low = min(low, 0.0) if from_zero else low
    if high - low <= max(abs(low), abs(high), 1 / LARGEST) * _SAME:
        margin = abs(high) / 10 if abs(high) > 1 / LARGEST else 1.0
        low, high = (low if from_zero else low - margin), high + margin
    elif not share:
        margin = (high - low) / 20
        low, high = (low if from_zero else low - margin), high + margin
    step, decimals = round_step(high - low, num_ticks)
    if rounded:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    places = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ticks = [place * step + 0.0 for place in places]
    return Axis(low, high, [(tick, _label(tick, decimals, share, max(map(abs, ticks)))) for tick in ticks])


def whole_ticks(first: float, last: float) -> list[tuple[float, str]]:
    """Finds at most seven whole numbers between two steps.

    Example:
        >>> whole_ticks(1, 4), whole_ticks(10, 20)[0]
        ([(1, '1'), (2, '2'), (3, '3'), (4, '4')], (10, '10'))
    """
    step = max(1, round(round_step(last - first, 6)[0])) if last > first else 1
    places = range(math.ceil(first / step), math.floor(last / step) + 1)
    return [(place * step, f"{place * step}") for place in places] or [(round(first), f"{round(first)}")]


def round_step(span: float, count: int) -> tuple[float, int]:
    """Finds a round distance of which about `count` fit into a span, and the decimals of its multiples.

    Example:
        >>> round_step(1.0, 6), round_step(1500, 6)
        ((0.2, 1), (250.0, -1))
    """
    raw = span / count
    power = math.floor(math.log10(raw))
    factor = next(factor for factor in _STEPS if factor * 10.0**power >= raw * (1 - 1e-9))
    decimals = -power + (factor == 2.5) - (factor == 10)
    return float(f"{factor}e{power}"), decimals


def _label(tick: float, decimals: int, share: bool, largest: float) -> str:
    if share:
        return f"{100 * tick:.{max(0, decimals - 2)}f} %"
    if decimals > _MOST_DECIMALS or largest >= _LARGE:
        digits = math.floor(math.log10(largest)) + decimals + 1 if largest else 1  # that tell neighbours apart
        return f"{tick:.{max(1, digits)}g}"
    return f"{tick:.{max(0, decimals)}f}"
