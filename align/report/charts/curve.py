"""Curves over a count that doubles, or a weight, with the intervals of their points, in the look of the page."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from align.report.charts.axis import axis_of, format_number
from align.report.charts.drawing import BOTTOM, LETTER, NUM_COLOURS, RIGHT, TOP, Chart, Legend, lines_across, to_svg

_APART = 22.0  # of numbers that do not touch


class Curve(NamedTuple):
    """One curve over `(P,)` points."""

    label: str
    x: Sequence[float]  # `(P,)` counts, at least 1
    y: Sequence[float]
    low: Sequence[float]  # nan without an interval
    high: Sequence[float]
    colour: int  # number of the colour
    dashed: bool = False


def draw_curves(
    title: str, note: str, curves: Sequence[Curve], unit: str, *, share: bool = False, doubles: bool = True
) -> Chart:
    """Draws curves over a logarithmic axis, or an even one; the legend gives the last value of each."""
    ticks = sorted({x for curve in curves for x in curve.x})
    values = np.array([each for curve in curves for each in (*curve.y, *curve.low, *curve.high)], dtype=float)
    axis = axis_of(values[np.isfinite(values)], share=share, rounded=True)
    left = 10 + LETTER * max(5, *(len(label) for _, label in axis.ticks))

    def x(value: float) -> float:
        first, last, here = (math.log2(each) if doubles else each for each in (ticks[0], ticks[-1], value))
        return left + 6 + (here - first) / (last - first) * (RIGHT - left - 12) if last > first else (left + RIGHT) / 2

    def y(value: float) -> float:
        return BOTTOM - (value - axis.low) / (axis.high - axis.low) * (BOTTOM - TOP)

    def path(xs: Sequence[float], ys: Sequence[float]) -> str:
        return "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in zip(xs, ys, strict=True) if math.isfinite(b))

    parts = [lines_across(axis, left, y)]
    for curve in curves:
        colour = f"var(--c{curve.colour % NUM_COLOURS})"
        known = [
            place for place, ends in enumerate(zip(curve.low, curve.high, strict=True)) if np.isfinite(ends).all()
        ]
        if len(known) > 1:
            there = path([curve.x[i] for i in known], [curve.high[i] for i in known])
            back = path([curve.x[i] for i in known[::-1]], [curve.low[i] for i in known[::-1]])
            parts.append(f'<path d="M{there}L{back}Z" style="fill:{colour}" opacity="0.15"/>')
        dashes = ' stroke-dasharray="6 3"' if curve.dashed else ""
        parts.append(f'<path class="curve" d="M{path(curve.x, curve.y)}" style="stroke:{colour}"{dashes}/>')
        parts += [
            f'<circle r="2.4" cx="{x(a):.1f}" cy="{y(b):.1f}" style="fill:{colour}"/>'
            for a, b in zip(curve.x, curve.y, strict=True)
            if math.isfinite(b)
        ]
    parts += [
        f'<text x="{x(tick):.1f}" y="{BOTTOM + 12}" text-anchor="middle">{tick:g}</text>' for tick in thinned(ticks, x)
    ]
    parts.append(
        f'<path class="below" d="M{left:.1f} {BOTTOM}H{RIGHT}"/>'
        f'<text x="{(left + RIGHT) / 2:.1f}" y="{BOTTOM + 26}" text-anchor="middle">{escape(unit)}</text>'
    )
    legend = [
        Legend(curve.label, format_number(curve.y[-1], share), curve.colour % NUM_COLOURS, curve.dashed)
        for curve in curves
    ]
    return Chart(title, note, to_svg(title, BOTTOM + 32, parts), legend)


def thinned(ticks: Sequence[float], place: Callable[[float], float]) -> list[float]:
    """Leaves out ticks whose numbers would touch.

    Example:
        >>> thinned([1, 2, 3, 4], lambda tick: 10.0 * tick)
        [1, 4]
    """
    kept: list[float] = []
    for tick in ticks:
        if not kept or place(tick) - place(kept[-1]) >= _APART:
            kept.append(tick)
    return kept
