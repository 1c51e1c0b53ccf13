"""Line charts as SVG that takes its text colour, font and line colours from the page around it."""

import io
import math
import re
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.report.run.folder import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUM_COLOURS = 6  # --c0 .. --c5 in the page's style
_MAX_POINTS = 150
_SMALL_SHARE = 0.25  # shares that stay below are drawn on their own scale, from 0
_TINY_SHARE = 0.01  # would be 0 or 1 % without decimals
_INK, GRID = "#010203", "#010204"  # stand-ins for the page's colours, replaced after drawing
_INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")


class Line(NamedTuple):
    """A series with its name in the legend."""

    label: str
    series: Series
    colour: int
    dashed: bool = False


class Legend(NamedTuple):
    """One entry of a legend; `latest` is the mean of the last quarter of the run."""

    label: str
    latest: str
    colour: int
    dashed: bool


class Chart(NamedTuple):
    """A drawn chart with the words that go around it."""

    title: str
    note: str
    svg: str
    legend: list[Legend]


def draw_chart(title: str, note: str, lines: Sequence[Line], *, share: bool = False, stacked: bool = False) -> Chart:
    """Draws series over optimizer steps.

    Args:
        title: What is shown, with its unit.
        note: How to read it, one sentence.
        lines: The series. Long ones are averaged into 150 stretches, with a band from minimum to maximum.
        share: Whether values lie in 0..1 and the axis counts percent from 0.
        stacked: Whether the series add up and are drawn as areas.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(page_style(title)):
        figure = Figure(figsize=(4.8, 2.4), layout="constrained")
        axes = figure.add_subplot()
        _draw_areas(axes, lines) if stacked else _draw_lines(axes, lines)
        _dress(axes, share=share)
        svg = to_svg(figure, title)
    latest = [format_number(line.series.recent(), share) for line in lines]
    legend = [Legend(line.label, number, line.colour, line.dashed) for line, number in zip(lines, latest, strict=True)]
    return Chart(title, note, svg, legend)


def page_style(title: str) -> Any:
    """Returns matplotlib's settings for a chart that `to_svg` can fit into a page."""
    return {"svg.fonttype": "none", "svg.hashsalt": title, "font.size": 9} | dict.fromkeys(_INKED, _INK)


def to_svg(figure: "Figure", title: str) -> str:
    """Writes a figure, drawn with `page_style`, as SVG that takes its look from the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _adopt_page_style(buffer.getvalue(), title)


def format_number(value: float, share: bool = False) -> str:
    """Writes a number for a reader: shares in percent, the rest with three significant digits.

    Example:
        >>> format_number(0.4567, share=True), format_number(0.00312, share=True)
        ('46 %', '0.31 %')
        >>> format_number(123.4), format_number(1e-6), format_number(float("nan"))
        ('123', '1e-06', 'n/a')
    """
    if not np.isfinite(value):
        return "n/a"
    if share:
        return f"{100 * value:.2g} %" if 0 < value < _TINY_SHARE else f"{100 * value:.0f} %"
    return f"{value:.3g}"


def downsample(series: Series, max_points: int = _MAX_POINTS) -> tuple[NDArray[np.float64], ...]:
    """Averages a series into at most `max_points` stretches.

    Returns:
        Mean step, mean, minimum and maximum of each stretch, `(P,)` each; steps without a value are left out.
    """
    kept = np.isfinite(series.values)
    width = max(1, math.ceil(kept.sum() / max_points))  # equal stretches: noise must not change along the curve
    cuts = range(width, int(kept.sum()), width)
    steps, values = np.split(series.steps[kept], cuts), np.split(series.values[kept], cuts)
    columns = (map(np.mean, steps), map(np.mean, values), map(np.min, values), map(np.max, values))
    return tuple(np.array(list(column), dtype=float) for column in columns)


def _draw_lines(axes: "Axes", lines: Sequence[Line]) -> None:
    for line in lines:
        steps, mean, low, high = downsample(line.series)
        colour, single = stand_in(line.colour), len(steps) == 1
        axes.plot(steps, mean, color=colour, lw=1.6, ls="--" if line.dashed else "-", marker="o" if single else None)
        if (high > low).any():
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, lw=0)


def _draw_areas(axes: "Axes", lines: Sequence[Line]) -> None:
    common = reduce(np.intersect1d, (line.series.steps[np.isfinite(line.series.values)] for line in lines))
    shared = [Series(common, line.series.values[np.isin(line.series.steps, common)]) for line in lines]
    columns = [downsample(series)[:2] for series in shared]
    colours = [stand_in(line.colour) for line in lines]
    axes.stackplot(columns[0][0], *[mean for _, mean in columns], colors=colours, lw=0)
    axes.margins(x=0)


def _dress(axes: "Axes", *, share: bool) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axes.set_xlabel("optimizer step")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    strip_frame(axes, grid="y")
    if share:
        axes.set_ylim(0, 1 if axes.get_ylim()[1] > _SMALL_SHARE else None)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None, symbol=" %"))


def strip_frame(axes: "Axes", *, grid: Literal["x", "y"]) -> None:
    """Leaves the axis at the bottom and faint lines across; the page around gives the frame."""
    axes.grid(axis=grid, color=GRID, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)


def stand_in(colour: int) -> str:
    """Returns the colour to draw with, which the page then replaces."""
    return f"#0102{0x10 + colour % NUM_COLOURS:02x}"


def _adopt_page_style(svg: str, title: str) -> str:
    """Makes matplotlib's file fit for inlining: no prologue, namespaces, metadata or ids to clash, the page's look."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    label = re.sub(r'[<>&"]', "", title)
    svg = re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{label}">', svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font-family: [^;]*; ", "", svg)
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d)\d+", r"\1", path[0]).replace("\n", ""), svg)
    for colour in range(NUM_COLOURS):
        svg = svg.replace(stand_in(colour), f"var(--c{colour})")
    return svg.replace(_INK, "currentColor").replace(GRID, "var(--grid)")
