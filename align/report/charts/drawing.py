"""Line charts over optimizer steps as SVG of our own, quick enough to be drawn anew while a run trains."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.report.charts.axis import LARGEST, Axis, axis_of, format_number, whole_ticks
from align.report.run.folder import Series

NUM_COLOURS = 6  # --c0 .. --c5 in the page's style
_MAX_POINTS = 150
_SMALL_SHARE = 0.25  # shares that stay below are drawn on their own scale, from 0
_WIDTH, _HEIGHT, TOP, BOTTOM, RIGHT = 346, 173, 7, 141, 338
LETTER = 5.2  # widest digit at the size of the labels

Stretches = tuple[NDArray[np.float64], ...]


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
    """A drawn chart with the words that go around it; `data` is what the page's script draws it from."""

    title: str
    note: str
    svg: str
    legend: list[Legend]
    data: str = ""


def draw_chart(title: str, note: str, lines: Sequence[Line], *, share: bool = False, stacked: bool = False) -> Chart:
    """Draws series over optimizer steps; `stacked` ones add up and are drawn as areas.

    Long series are averaged into 150 stretches, with a band from minimum to maximum. With `share`, values lie in 0..1
    and the axis counts percent from 0.
    """
    found = [line.series for line in lines]
    if stacked:  # over the steps that all of them have
        common = reduce(np.intersect1d, (each.steps[np.abs(each.values) < LARGEST] for each in found))
        found = [Series(common, each.values[np.isin(each.steps, common)]) for each in found]
    columns = [downsample(series) for series in found]
    ends = [(low, high) for _, _, low, high in columns]
    if stacked:  # each series on top of those before it
        tops = np.cumsum([mean for _, mean, *_ in columns], axis=0)
        ends = [(top - mean, top) for top, (_, mean, *_) in zip(tops, columns, strict=True)]
    axis = axis_of(np.concatenate([end for pair in ends for end in pair]), share=share, from_zero=share or stacked)
    if share and axis.high > _SMALL_SHARE:
        axis = axis_of(np.array([0.0, 1.0]), share=True, from_zero=True)
    place = _Place(axis, [line.series.steps for line in lines])
    parts = [place.svg_axes()]
    for line, (steps, mean, low, high), (bottom, top) in zip(lines, columns, ends, strict=True):
        if stacked:
            parts.append(place.area(line, steps, bottom, top, opacity=1))
            continue
        if (high > low).any():
            parts.append(place.area(line, steps, low, high, opacity=0.15))
        parts.append(place.curve(line, steps, mean))
    svg = to_svg(title, _HEIGHT, [*parts, "</g>"])  # the script replaces what lies in the second group
    legend = [
        Legend(line.label, format_number(line.series.recent(), share), line.colour, line.dashed) for line in lines
    ]
    return Chart(title, note, svg, legend, _data(place, lines, columns, share=share, stacked=stacked))


def draw_spark(series: Series) -> str:
    """Draws a series without its axis, to stand beside a number; nothing of a single point."""
    steps, mean, *_ = downsample(series, 40)
    if len(steps) < 2:
        return ""
    x = 1 + 78 * (steps - steps[0]) / (steps[-1] - steps[0])
    y = 21 - 18 * (mean - mean.min()) / (np.ptp(mean) or 1.0)
    points = "L".join(f"{left:.1f} {top:.1f}" for left, top in zip(x, y, strict=True))
    return f'<svg class="spark" viewBox="0 0 80 24" aria-hidden="true"><path d="M{points}"/></svg>'


def to_svg(title: str, height: float, parts: Iterable[str]) -> str:
    """Puts what was drawn into a picture that takes its colours and letters from the page."""
    size = f'viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{escape(title)}"'
    return f'<svg class="plot" {size}>{"".join(parts)}</svg>'


def lines_across(axis: Axis, left: float, y: Callable[[Any], Any]) -> str:
    """Draws a line across at each number of an axis, with the number beside its left end."""
    return "".join(
        f'<path class="across" d="M{left:.1f} {y(tick):.1f}H{RIGHT}"/>'
        f'<text x="{left - 5:.1f}" y="{y(tick) + 3:.1f}" text-anchor="end">{label}</text>'
        for tick, label in axis.ticks
    )


def downsample(series: Series, max_points: int = _MAX_POINTS) -> Stretches:
    """Averages a series into at most `max_points` stretches: `(P,)` mean step, mean, minimum and maximum of each."""
    kept = np.abs(series.values) < LARGEST  # not so for NaN
    width = max(1, math.ceil(kept.sum() / max_points))  # equal stretches: noise must not change along the curve
    cuts = range(width, int(kept.sum()), width)
    steps, values = np.split(series.steps[kept], cuts), np.split(series.values[kept], cuts)
    if not kept.any():
        return tuple(np.empty(0) for _ in range(4))
    columns = (map(np.mean, steps), map(np.mean, values), map(np.min, values), map(np.max, values))
    return tuple(np.array(list(column), dtype=float) for column in columns)


class _Place:
    def __init__(self, axis: Axis, steps: Iterable[NDArray[np.int64]]) -> None:
        found = np.concatenate([*steps, np.empty(0)])
        first, last = (float(found.min()), float(found.max())) if len(found) else (0.0, 1.0)
        self.axis, self.steps = axis, (first, last)
        self.left = 10 + LETTER * max(5, *(len(label) for _, label in axis.ticks))

    def x(self, steps: Any) -> Any:
        first, last = self.steps
        middle = (self.left + RIGHT) / 2
        return (
            self.left + (steps - first) / (last - first) * (RIGHT - self.left) if last > first else steps * 0 + middle
        )

    def y(self, values: Any) -> Any:
        return BOTTOM - (values - self.axis.low) / (self.axis.high - self.axis.low) * (BOTTOM - TOP)

    def svg_axes(self) -> str:
        """Draws the axis below, then opens a group with the lines across and their numbers."""
        below = "".join(
            f'<text x="{self.x(tick):.1f}" y="{BOTTOM + 12}" text-anchor="middle">{label}</text>'
            for tick, label in whole_ticks(*self.steps)
        )
        middle = (self.left + RIGHT) / 2
        return (
            f'<g>{below}<text x="{middle:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">optimizer step</text>'
            f'<path class="below" d="M{self.left:.1f} {BOTTOM}H{RIGHT}"/></g><g>'
            + lines_across(self.axis, self.left, self.y)
        )

    def curve(self, line: Line, steps: Any, values: Any) -> str:
        if len(steps) == 1:
            return f'<circle r="3" cx="{self.x(steps[0]):.1f}" cy="{self.y(values[0]):.1f}" {_fill(line)}/>'
        dashes = ' stroke-dasharray="6 3"' if line.dashed else ""
        style = f'style="stroke:var(--c{line.colour % NUM_COLOURS})"{dashes}'
        return f'<path class="curve" d="{self._path(steps, values)}" {style}/>'

    def area(self, line: Line, steps: Any, low: Any, high: Any, *, opacity: float) -> str:
        if len(steps) < 2:
            return ""
        back = self._path(steps[::-1], low[::-1]).replace("M", "L", 1)
        shade = "" if opacity == 1 else f' opacity="{opacity:g}"'
        return f'<path d="{self._path(steps, high)}{back}Z" {_fill(line)}{shade}/>'

    def _path(self, steps: Any, values: Any) -> str:
        points = [f"{x:.1f} {y:.1f}" for x, y in zip(self.x(steps), self.y(values), strict=True)]
        return "M" + "L".join(points) if points else ""


def _fill(line: Line) -> str:
    return f'style="fill:var(--c{line.colour % NUM_COLOURS})"'


def _data(place: _Place, lines: Sequence[Line], columns: Sequence[Stretches], *, share: bool, stacked: bool) -> str:
    """Writes what a script needs to show values and to draw the curves otherwise, thinned as they are drawn."""
    drawn = []
    for line, (steps, mean, low, high) in zip(lines, columns, strict=True):
        values = {"x": _rounded(steps, 7), "y": _rounded(mean)}
        if (high > low).any() and not stacked:
            values |= {"low": _rounded(low), "high": _rounded(high)}
        drawn.append({"label": line.label, "colour": line.colour % NUM_COLOURS, "dashed": line.dashed, **values})
    about = {
        "box": [round(place.left, 1), TOP, RIGHT, BOTTOM],
        "steps": place.steps,
        "values": [place.axis.low, place.axis.high],
        "ticks": place.axis.ticks,
        "share": share,
        "stacked": stacked,
    }
    return json.dumps(about | {"lines": drawn}, separators=(",", ":"))


def _rounded(values: NDArray[np.float64], digits: int = 4) -> list[float | int]:
    numbers = [float(f"{value:.{digits}g}") for value in values]
    return [int(number) if number.is_integer() else number for number in numbers]
