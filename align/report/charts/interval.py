"""Estimates with their intervals, one above the other, as SVG in the look of the page."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from align.report.charts.axis import axis_of, format_number
from align.report.charts.drawing import LETTER, NUM_COLOURS, RIGHT, TOP, Chart, Legend, to_svg

_ROW = 19  # of a label with one series
_END = RIGHT - 8  # room for half of the last number
_TICK = 40  # room of a number of the axis
_LONGEST_LABEL = 32
_MOST_DIGITS = 6
_WIDE = 8.0  # times the median width


class Interval(NamedTuple):
    """An estimate with its interval; those of one label share a line, those of one series a colour."""

    label: str
    series: str
    value: float
    low: float
    high: float


def draw_intervals(
    title: str,
    note: str,
    intervals: Sequence[Interval],
    unit: str,
    *,
    share: bool = False,
    order: Sequence[str] = (),
    cut: bool = False,
) -> Chart:
    """Draws estimates as points with bars, and a line at 0; series take turns in colour beyond six.

    Values are shares or differences of shares where the axis counts percent (`share`). A series in `order` has its
    colour in every chart; others come behind, as they are met. Estimates that are far less sure than the others end in
    an arrow at the edge (`cut`), and do not set the axis.
    """
    labels = list(dict.fromkeys(interval.label for interval in intervals))
    found = {interval.series for interval in intervals}
    series = list(dict.fromkeys([*order, *(interval.series for interval in intervals)]))
    inside = {label: [each.series for each in intervals if each.label == label] for label in labels}
    lines = max((len(each) for each in inside.values()), default=1)
    row = _ROW * (1 + 0.5 * (lines - 1))
    left = 8 + LETTER * max(len(_shorten(label)) for label in labels)
    bottom = TOP + row * max(len(labels), 2 / (1 + 0.5 * (lines - 1)))
    widths = np.array([each.high - each.low for each in intervals])
    known = widths[np.isfinite(widths) & (widths > 0)]
    most = _WIDE * np.median(known) if cut and len(known) > 2 else math.inf
    sure = [each for each, width in zip(intervals, widths, strict=True) if not width > most]
    ends = np.array([end for each in sure for end in (each.low, each.value, each.high)] + [0.0])
    axis = axis_of(ends[np.isfinite(ends)], num_ticks=max(2, int((_END - left) / _TICK)), share=share, rounded=True)

    def x(value: float) -> float:
        return left + (min(max(value, axis.low), axis.high) - axis.low) / (axis.high - axis.low) * (_END - left)

    parts = [
        f'<path class="across" d="M{x(tick):.1f} {TOP}V{bottom:.1f}"/>'
        f'<text x="{x(tick):.1f}" y="{bottom + 12:.1f}" text-anchor="middle">{label}</text>'
        for tick, label in axis.ticks
    ]
    parts.append(f'<path class="guide" d="M{x(0):.1f} {TOP}V{bottom:.1f}"/>')
    for place, label in enumerate(labels):
        y = TOP + row * (place + 0.5) + 3
        parts.append(f'<text x="{left - 6:.1f}" y="{y:.1f}" text-anchor="end">{escape(_shorten(label))}</text>')
    for each in intervals:
        number = series.index(each.series)
        beside = inside[each.label]
        spread = 0.8 * (beside.index(each.series) - (len(beside) - 1) / 2) / len(beside)
        y = TOP + row * (labels.index(each.label) + 0.5 + spread)
        colour = f"var(--c{number % NUM_COLOURS})"
        if each.low <= each.high:  # not so where one is NaN
            bar = f'd="M{x(each.low):.1f} {y:.1f}H{x(each.high):.1f}" style="stroke:{colour}"'
            parts.append(f'<path class="curve" {bar}/>')
        for end, side in ((each.low, -1), (each.high, 1)):
            if side * end > side * (axis.low, axis.high)[side > 0]:
                arrow = f'd="M{x(end):.1f} {y - 4:.1f}l{6 * side} 4l{-6 * side} 4z" style="fill:{colour}"'
                parts.append(f"<path {arrow}/>")
        if axis.low <= each.value <= axis.high:
            parts.append(f'<circle r="2.6" cx="{x(each.value):.1f}" cy="{y:.1f}" style="fill:{colour}"/>')
    parts.append(
        f'<path class="below" d="M{left:.1f} {bottom:.1f}H{_END}"/>'
        f'<text x="{(left + _END) / 2:.1f}" y="{bottom + 26:.1f}" text-anchor="middle">{escape(unit)}</text>'
    )
    legend = [Legend(name, "", number % NUM_COLOURS, False) for number, name in enumerate(series) if name in found]
    return Chart(title, note, to_svg(title, bottom + 32, parts), legend if len(series) > 1 else [])


def in_words(value: float, low: float, high: float) -> str:
    """Writes an estimate with its interval, to two digits of the interval's width.

    Example:
        >>> in_words(2.4375, 2.3712, 2.5201), in_words(1.2, 1.198, 1.2021)
        ('2.44 [2.37, 2.52]', '1.2000 [1.1980, 1.2021]')
        >>> in_words(0.0, 0.0, 0.0)
        '0 [0, 0]'
    """
    width = high - low
    if not (width > 0 and math.isfinite(width)):
        return f"{format_number(value)} [{format_number(low)}, {format_number(high)}]"
    digits = 1 - math.floor(math.log10(width))
    if digits > _MOST_DIGITS:
        return f"{value:.2e} [{low:.2e}, {high:.2e}]"
    places = max(0, digits)
    return f"{value:,.{places}f} [{low:,.{places}f}, {high:,.{places}f}]"


def _shorten(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"
