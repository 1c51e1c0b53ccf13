"""Curves over a count that doubles, or a weight, with the intervals of their points, in the look of the page."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from align.report.charts.axis import format_number
from align.report.charts.drawing import NUM_COLOURS, Chart, Legend
from align.report.charts.figure import page_style, stand_in, strip_frame, to_svg


class Curve(NamedTuple):
    """One curve; `low` and `high` are the ends of each point's interval, NaN without one.

    Attributes:
        label: Its name in the legend.
        x: `(P,)` counts, at least 1.
        y: `(P,)` values.
        low: `(P,)` lower ends.
        high: `(P,)` upper ends.
        colour: Number of the colour.
        dashed: Whether the line is dashed.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    colour: int
    dashed: bool = False


def draw_curves(
    title: str, note: str, curves: Sequence[Curve], unit: str, *, share: bool = False, doubles: bool = True
) -> Chart:
    """Draws curves over a logarithmic axis; the legend gives the last value of each.

    Args:
        title: What is shown.
        note: How to read it, one sentence.
        curves: At least one.
        unit: What is counted along the axis.
        share: Whether values are shares and the axis counts percent.
        doubles: Whether the axis is one of counts that double; else it is an even one.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    with matplotlib.rc_context(page_style(title)):
        axes = (figure := Figure(figsize=(4.8, 2.4), layout="constrained")).add_subplot()
        for curve in curves:
            colour = stand_in(curve.colour)
            axes.plot(curve.x, curve.y, color=colour, lw=1.6, ls="--" if curve.dashed else "-", marker="o", ms=3)
            low, high = (np.asarray(ends, dtype=float) for ends in (curve.low, curve.high))
            axes.fill_between(curve.x, low, high, where=np.isfinite(low + high), color=colour, alpha=0.15, lw=0)
        ticks = sorted({x for curve in curves for x in curve.x})
        if doubles:
            axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel(unit)
        if share:
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None, symbol=" %"))
        strip_frame(axes, grid="y")
        svg = to_svg(figure, title)
    legend = [
        Legend(curve.label, format_number(curve.y[-1], share), curve.colour % NUM_COLOURS, curve.dashed)
        for curve in curves
    ]
    return Chart(title, note, svg, legend)
