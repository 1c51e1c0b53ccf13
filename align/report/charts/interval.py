"""Estimates with their intervals, one above the other, as SVG in the look of the page."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from align.report.charts.axis import format_number
from align.report.charts.drawing import NUM_COLOURS, Chart, Legend
from align.report.charts.figure import GRID, page_style, stand_in, strip_frame, to_svg

_ROW, _MARGIN = 0.26, 0.7  # inches
_LONGEST_LABEL = 32
_MOST_DIGITS = 6
_TENTH = 0.1


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
) -> Chart:
    """Draws estimates as points with bars, and a line at 0; series take turns in colour beyond six.

    Args:
        title: What is shown.
        note: How to read it, one sentence.
        intervals: At least one.
        unit: Of the axis.
        share: Whether values are shares or differences of shares, and the axis counts percent.
        order: Names of series, so that one has its colour in every chart; others come behind, as they are met.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    labels = list(dict.fromkeys(interval.label for interval in intervals))
    found = {interval.series for interval in intervals}
    series = list(dict.fromkeys([*order, *(interval.series for interval in intervals)]))
    step = 0.8 / len(series)
    with matplotlib.rc_context(page_style(title)):
        height = _MARGIN + _ROW * max(len(labels) * (1 + 0.5 * (len(series) - 1)), 2)
        axes = (figure := Figure(figsize=(4.8, height), layout="constrained")).add_subplot()
        for interval in intervals:
            number = series.index(interval.series)
            place = labels.index(interval.label) + step * (number - (len(series) - 1) / 2)
            colour = stand_in(number)
            axes.plot([interval.low, interval.high], [place, place], color=colour, lw=1.6)
            axes.plot([interval.value], [place], color=colour, marker="o", ms=4)
        axes.axvline(0, color=GRID, lw=1.2, zorder=0)
        axes.set_yticks(range(len(labels)), [_shorten(label) for label in labels])
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel(unit)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if share:
            low, high = axes.get_xlim()
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0 if high - low > _TENTH else 1, symbol=" %"))
        strip_frame(axes, grid="x")
        svg = to_svg(figure, title)
    legend = [Legend(name, "", number % NUM_COLOURS, False) for number, name in enumerate(series) if name in found]
    return Chart(title, note, svg, legend if len(series) > 1 else [])


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
    text = label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"
    return text.replace("$", r"\$")  # matplotlib would read formulas
